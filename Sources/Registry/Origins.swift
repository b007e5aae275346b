import Wire

/// Where a command was taken from its client: names it for ever, so that a node may hand it to a
/// second leader when it does not know what became of it at the first.
package struct OriginStamp: Equatable, Sendable {
  /// Random, one per process.
  package var origin: UInt64
  /// Grows by one with every command of that origin.
  package var sequence: UInt64
  /// Everything up to this sequence was answered and will not be sent again.
  package var acknowledgedThrough: UInt64

  package init(origin: UInt64, sequence: UInt64, acknowledgedThrough: UInt64) {
    self.origin = origin
    self.sequence = sequence
    self.acknowledgedThrough = acknowledgedThrough
  }
}

/// Outcomes of commands whose origin may send them again. Replicated: every node drops and keeps
/// the same.
///
/// Bounded by what is under way: an outcome goes as soon as a later command of the same origin
/// says that it was answered, and an origin that was silent longest goes when there are too many
/// (64 processes must have started and written since, while a retry takes seconds).
struct Origins: Sendable {
  struct Answered: Sendable {
    var sequence: UInt64
    var outcome: Outcome
  }
  struct Known: Sendable {
    var origin: UInt64
    /// Of its last command in the log.
    var lastIndex: UInt64
    var acknowledgedThrough: UInt64
    /// By sequence.
    var answered: [Answered]
    /// Those before this place are acknowledged already.
    var head = 0
  }
  enum Verdict {
    case new
    case repeated(Outcome)
  }

  static let originsMax = 64
  /// In order of their first command.
  private(set) var known: [Known] = []

  /// Says whether the command is new, and forgets what is acknowledged.
  mutating func judge(_ stamp: OriginStamp, index: UInt64) -> Verdict {
    guard let place = place(of: stamp.origin) else { return .new }
    known[place].lastIndex = index
    known[place].acknowledge(stamp.acknowledgedThrough)
    return known[place].verdict(stamp.sequence)
  }

  /// By place, which copies none of them.
  private func place(of origin: UInt64) -> Int? {
    for place in known.indices where known[place].origin == origin { return place }
    return nil
  }

  mutating func remember(_ stamp: OriginStamp, _ outcome: Outcome, index: UInt64) {
    if let place = place(of: stamp.origin) {
      known[place].insert(Answered(sequence: stamp.sequence, outcome: outcome))
      return
    }
    if known.count == Self.originsMax,
      let oldest = known.indices.min(by: { known[$0].lastIndex < known[$1].lastIndex })
    {
      known.remove(at: oldest)
    }
    var new = Known(
      origin: stamp.origin, lastIndex: index, acknowledgedThrough: stamp.acknowledgedThrough,
      answered: [])
    new.insert(Answered(sequence: stamp.sequence, outcome: outcome))
    known.append(new)
  }

  /// From a snapshot; false when it is there already, or one too many.
  mutating func restore(_ origin: Known) -> Bool {
    guard known.count < Self.originsMax, !known.contains(where: { $0.origin == origin.origin })
    else { return false }
    known.append(origin)
    return true
  }
}

extension Origins.Known {
  mutating func acknowledge(_ sequence: UInt64) {
    guard sequence > acknowledgedThrough else { return }
    acknowledgedThrough = sequence
    while head < answered.count, answered[head].sequence <= sequence { head += 1 }
    if head == answered.count {
      answered.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 256, head * 2 > answered.count {
      answered.removeSubrange(..<head)
      head = 0
    }
  }

  func verdict(_ sequence: UInt64) -> Origins.Verdict {
    guard sequence > acknowledgedThrough else {
      // A late copy: whoever sent it has been answered, or has given up. Nobody hears this.
      return .repeated(.refused(Refusal(status: 500, text: "the request was answered before")))
    }
    guard let last = answered.last, sequence <= last.sequence else { return .new }
    let place = position(sequence)
    guard place < answered.count, answered[place].sequence == sequence else { return .new }
    return .repeated(answered[place].outcome)
  }

  mutating func insert(_ new: Origins.Answered) {
    guard let last = answered.last, new.sequence < last.sequence else {
      return answered.append(new)
    }
    answered.insert(new, at: position(new.sequence))
  }

  /// The first place from `head` on whose sequence is not below.
  private func position(_ sequence: UInt64) -> Int {
    var low = head
    var high = answered.count
    while low < high {
      let middle = (low + high) / 2
      if answered[middle].sequence < sequence { low = middle + 1 } else { high = middle }
    }
    return low
  }

  func encode(into writer: inout Writer) {
    writer.u64(origin)
    writer.u64(lastIndex)
    writer.u64(acknowledgedThrough)
    writer.varint(UInt64(answered.count - head))
    for item in answered[head...] {
      writer.u64(item.sequence)
      item.outcome.encode(into: &writer)
    }
  }

  init(from reader: inout Reader) throws(WireError) {
    origin = try reader.u64()
    lastIndex = try reader.u64()
    acknowledgedThrough = try reader.u64()
    answered = []
    for _ in 0..<(try reader.count()) {
      let sequence = try reader.u64()
      if let last = answered.last, last.sequence >= sequence { throw .unorderedRecords }
      answered.append(Origins.Answered(sequence: sequence, outcome: try Outcome(from: &reader)))
    }
  }
}

extension CommandEnvelope {
  /// Bits of the byte after the time.
  static var hasRequestID: UInt8 { 1 }
  static var hasOrigin: UInt8 { 2 }
  static var hasFloor: UInt8 { 4 }
  static var originOffset: Int { timeOffset + 8 + 1 }

  /// The stamp of encoded bytes, without decoding the rest. Nil when they have none.
  package static func origin(of bytes: [UInt8]) -> OriginStamp? {
    guard bytes.count >= originOffset + 20, bytes[0] == version,
      bytes[originOffset - 1] & hasOrigin != 0
    else { return nil }
    let sequence = bytes.u64(at: originOffset + 8)
    let pending = UInt64(bytes.u32(at: originOffset + 16))
    return OriginStamp(
      origin: bytes.u64(at: originOffset), sequence: sequence,
      acknowledgedThrough: sequence - min(sequence, pending))
  }
}

extension OriginStamp {
  /// `u64 origin`, `u64 sequence`, `u32 sequence - acknowledgedThrough`.
  func store(into bytes: inout [UInt8], at start: Int) {
    bytes.setU64(origin, at: start)
    bytes.setU64(sequence, at: start + 8)
    let pending = sequence - min(sequence, acknowledgedThrough)
    bytes.setU32(UInt32(clamping: pending), at: start + 16)
  }

  static var bytes: Int { 20 }

  init(from reader: inout Reader) throws(WireError) {
    origin = try reader.u64()
    sequence = try reader.u64()
    acknowledgedThrough = sequence - min(sequence, UInt64(try reader.u32()))
  }
}
