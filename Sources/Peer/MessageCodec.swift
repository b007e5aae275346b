package import Raft
package import Wire

/// Raft messages as bytes: a tag, the term, then the fields in the order of their declaration.
///
/// Integers are varints, flags one byte, byte strings their length and themselves. Decoding accepts
/// only what encoding makes, and nothing after the end.
package enum MessageCodec {
  /// No election and no log ever gets there; a greater number is a lie that could overflow sums.
  static let numberMax: UInt64 = 1 << 62

  private enum Tag {
    static let voteRequest: UInt8 = 1
    static let voteReply: UInt8 = 2
    static let append: UInt8 = 3
    static let appendReply: UInt8 = 4
    static let heartbeat: UInt8 = 5
    static let heartbeatReply: UInt8 = 6
    static let snapshotChunk: UInt8 = 7
    static let snapshotReply: UInt8 = 8
    static let timeoutNow: UInt8 = 9
    static let readIndex: UInt8 = 10
    static let readIndexReply: UInt8 = 11
  }

  // MARK: Encoding

  package static func encode(_ message: Message, into writer: inout Writer) {
    switch message {
    case .voteRequest(let m):
      start(Tag.voteRequest, m.term, &writer)
      writer.varint(m.lastIndex.value)
      writer.varint(m.lastTerm.value)
      writer.flag(m.isPreVote)
      writer.flag(m.isTransfer)
    case .voteReply(let m):
      start(Tag.voteReply, m.term, &writer)
      writer.flag(m.granted)
      writer.flag(m.isPreVote)
    case .append(let m):
      encode(m, into: &writer)
    case .appendReply(let m):
      start(Tag.appendReply, m.term, &writer)
      encode(m.outcome, into: &writer)
    case .heartbeat(let m):
      start(Tag.heartbeat, m.term, &writer)
      writer.varint(m.commitIndex.value)
      writer.varint(m.readRound)
    case .heartbeatReply(let m):
      start(Tag.heartbeatReply, m.term, &writer)
      writer.varint(m.readRound)
    case .snapshotChunk(let m):
      encode(m, into: &writer)
    case .snapshotReply(let m):
      start(Tag.snapshotReply, m.term, &writer)
      writer.varint(m.index.value)
      writer.varint(m.nextOffset)
      writer.flag(m.isInstalled)
    case .timeoutNow(let m):
      start(Tag.timeoutNow, m.term, &writer)
    case .readIndex(let m):
      start(Tag.readIndex, m.term, &writer)
      writer.varint(m.id.value)
    case .readIndexReply(let m):
      start(Tag.readIndexReply, m.term, &writer)
      writer.varint(m.id.value)
      writer.flag(m.index != nil)
      if let index = m.index { writer.varint(index.value) }
    }
  }

  private static func start(_ tag: UInt8, _ term: Term, _ writer: inout Writer) {
    writer.u8(tag)
    writer.varint(term.value)
  }

  private static func encode(_ m: AppendEntries, into writer: inout Writer) {
    start(Tag.append, m.term, &writer)
    writer.varint(m.previousIndex.value)
    writer.varint(m.previousTerm.value)
    writer.varint(m.commitIndex.value)
    writer.varint(UInt64(m.entries.count))
    for entry in m.entries {
      writer.entry(
        index: entry.index.value, term: entry.term.value, kind: entry.kind.rawValue,
        payload: entry.payload)
    }
  }

  private static func encode(_ outcome: AppendReply.Outcome, into writer: inout Writer) {
    switch outcome {
    case .matched(let index):
      writer.u8(0)
      writer.varint(index.value)
    case .conflict(let previousIndex, let hintIndex, let hintTerm):
      writer.u8(1)
      writer.varint(previousIndex.value)
      writer.varint(hintIndex.value)
      writer.varint(hintTerm.value)
    }
  }

  private static func encode(_ m: SnapshotChunk, into writer: inout Writer) {
    start(Tag.snapshotChunk, m.term, &writer)
    writer.varint(m.meta.index.value)
    writer.varint(m.meta.term.value)
    writer.blob(m.meta.configuration.encoded())
    writer.varint(m.meta.configurationIndex.value)
    writer.varint(m.offset)
    writer.varint(m.totalBytes)
    writer.blob(m.data)
  }

  /// At least as much as the encoded message takes, for the bound of a queue.
  static func bytesMax(of message: Message) -> Int {
    switch message {
    case .append(let m): bytesMax(of: m.entries)
    case .snapshotChunk(let m):
      m.meta.configuration.members.reduce(256 + m.data.count) { $0 + $1.context.count + 48 }
    default: 64
    }
  }

  private static func bytesMax(of entries: [Entry]) -> Int {
    var bytes = 64
    for index in entries.indices { bytes += entries[index].payload.count + 32 }
    return bytes
  }

  // MARK: Decoding

  package static func decode(_ reader: inout Reader) throws(WireError) -> Message {
    let tag = try reader.u8()
    let message = try decode(tag, term: try term(&reader), &reader)
    try reader.finish()
    return message
  }

  private static func decode(
    _ tag: UInt8, term: Term, _ reader: inout Reader
  ) throws(WireError) -> Message {
    switch tag {
    case Tag.voteRequest:
      return .voteRequest(
        VoteRequest(
          term: term, lastIndex: try index(&reader), lastTerm: try self.term(&reader),
          isPreVote: try reader.flag(), isTransfer: try reader.flag()))
    case Tag.voteReply:
      return .voteReply(
        VoteReply(term: term, granted: try reader.flag(), isPreVote: try reader.flag()))
    case Tag.append: return .append(try append(term, &reader))
    case Tag.appendReply:
      return .appendReply(AppendReply(term: term, outcome: try outcome(&reader)))
    case Tag.heartbeat:
      return .heartbeat(
        Heartbeat(term: term, commitIndex: try index(&reader), readRound: try reader.varint()))
    case Tag.heartbeatReply:
      return .heartbeatReply(HeartbeatReply(term: term, readRound: try reader.varint()))
    case Tag.snapshotChunk: return .snapshotChunk(try snapshotChunk(term, &reader))
    case Tag.snapshotReply:
      return .snapshotReply(
        SnapshotReply(
          term: term, index: try index(&reader), nextOffset: try number(&reader),
          isInstalled: try reader.flag()))
    case Tag.timeoutNow: return .timeoutNow(TimeoutNow(term: term))
    case Tag.readIndex:
      return .readIndex(ReadIndexRequest(term: term, id: ReadID(try reader.varint())))
    case Tag.readIndexReply:
      let id = ReadID(try reader.varint())
      let index = try reader.flag() ? try index(&reader) : nil
      return .readIndexReply(ReadIndexReply(term: term, id: id, index: index))
    default: throw .unknownTag(UInt64(tag))
    }
  }

  private static func number(_ reader: inout Reader) throws(WireError) -> UInt64 {
    let value = try reader.varint()
    guard value <= numberMax else { throw .tooLong }
    return value
  }

  private static func term(_ reader: inout Reader) throws(WireError) -> Term {
    Term(try number(&reader))
  }

  private static func index(_ reader: inout Reader) throws(WireError) -> LogIndex {
    LogIndex(try number(&reader))
  }

  private static func append(
    _ term: Term, _ reader: inout Reader
  ) throws(WireError) -> AppendEntries {
    let previousIndex = try index(&reader)
    let previousTerm = try self.term(&reader)
    let commitIndex = try index(&reader)
    // Each entry takes at least four bytes, so a lie cannot reserve much more than it sent.
    let count = try reader.count()
    guard count <= reader.remaining / 4 else { throw .tooLong }
    var entries: [Entry] = []
    entries.reserveCapacity(count)
    for _ in 0..<count {
      let entryIndex = try index(&reader)
      let entryTerm = try self.term(&reader)
      let rawKind = try reader.u8()
      guard let kind = Entry.Kind(rawValue: rawKind) else { throw .unknownTag(UInt64(rawKind)) }
      entries.append(
        Entry(index: entryIndex, term: entryTerm, kind: kind, payload: try reader.blob()))
    }
    return AppendEntries(
      term: term, previousIndex: previousIndex, previousTerm: previousTerm,
      commitIndex: commitIndex, entries: entries)
  }

  private static func outcome(
    _ reader: inout Reader
  ) throws(WireError) -> AppendReply.Outcome {
    switch try reader.u8() {
    case 0: return .matched(try index(&reader))
    case 1:
      return .conflict(
        previousIndex: try index(&reader), hintIndex: try index(&reader),
        hintTerm: try term(&reader))
    case let other: throw .unknownTag(UInt64(other))
    }
  }

  private static func snapshotChunk(
    _ term: Term, _ reader: inout Reader
  ) throws(WireError) -> SnapshotChunk {
    let snapshotIndex = try index(&reader)
    let snapshotTerm = try self.term(&reader)
    guard let configuration = Configuration(decoding: try reader.blob()) else {
      throw .unknownTag(UInt64(Tag.snapshotChunk))
    }
    let meta = SnapshotMeta(
      index: snapshotIndex, term: snapshotTerm, configuration: configuration,
      configurationIndex: try index(&reader))
    return SnapshotChunk(
      term: term, meta: meta, offset: try number(&reader), totalBytes: try number(&reader),
      data: try reader.blob())
  }
}
