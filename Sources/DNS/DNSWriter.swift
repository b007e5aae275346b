/// Writes one message, with compression (RFC 1035 4.1.4), in one pass.
///
/// Sections are written in their order; each finished record is counted in the section it was begun
/// in. A record that turns out not to fit is taken back with `rollBack`. The writer is made to be
/// used again: `begin` keeps the buffers.
struct DNSWriter {
  enum Section: Int { case answer, authority, additional }

  /// A place to return to.
  struct Mark {
    fileprivate let count: Int
    fileprivate let counts: [3 of UInt16]
  }

  private(set) var bytes: [UInt8] = []
  private var counts: [3 of UInt16] = [0, 0, 0]
  private var section = Section.answer
  /// Where its length goes.
  private var openRecord = 0
  /// Where the question ends.
  private(set) var questionEnd = 0

  // Where each suffix of the names written so far stands: hash and offset, open addressing, 0 is an
  // empty slot. Every hit is compared byte by byte with what stands there now, so entries that a
  // rollback left behind do no harm.
  private var table = [UInt64](repeating: 0, count: tableCountMin)
  private var tableCount = 0
  /// Scratch: labels of the name being written and the hashes of the suffixes they begin.
  private var labels: [Int] = []
  private var hashes: [UInt32] = []

  private static let tableCountMin = 64
  /// A pointer has 14 bits.
  private static let pointerLimit = 0x4000
  /// RFC 1035 4.2.2: the length prefix of TCP has 16 bits.
  static let messageBytesMax = 65535

  var count: Int { bytes.count }
  var mark: Mark { Mark(count: bytes.count, counts: counts) }
  func recordCount(_ section: Section) -> Int { Int(counts[section.rawValue]) }

  mutating func begin(id: UInt16, flags: UInt16) {
    bytes.removeAll(keepingCapacity: true)
    counts = [0, 0, 0]
    section = .answer
    if table.count > Self.tableCountMin {
      table = [UInt64](repeating: 0, count: Self.tableCountMin)
    } else if tableCount > 0 {
      for i in table.indices { table[i] = 0 }
    }
    tableCount = 0
    u16(id)
    u16(flags)
    for _ in 0..<4 { u16(0) }
    questionEnd = bytes.count
  }

  mutating func question(_ question: DNSQuestion) {
    name(question.name)
    u16(question.type)
    u16(question.recordClass)
    patch(1, at: 4)
    questionEnd = bytes.count
  }

  /// Ends the message: sets the counts of the sections.
  mutating func finish() {
    for i in 0..<3 { patch(counts[i], at: 6 + 2 * i) }
  }

  mutating func set(_ flags: UInt16) {
    guard bytes.count >= DNSHeader.byteCount else { return }
    bytes[2] |= UInt8(flags >> 8)
    bytes[3] |= UInt8(truncatingIfNeeded: flags)
  }

  mutating func clear(_ flags: UInt16) {
    guard bytes.count >= DNSHeader.byteCount else { return }
    bytes[2] &= ~UInt8(flags >> 8)
    bytes[3] &= ~UInt8(truncatingIfNeeded: flags)
  }

  mutating func rollBack(to mark: Mark) {
    bytes.removeLast(bytes.count - mark.count)
    counts = mark.counts
  }

  /// Takes back all records.
  mutating func rollBackToQuestion() {
    bytes.removeLast(bytes.count - questionEnd)
    counts = [0, 0, 0]
  }

  // MARK: Records

  mutating func begin(
    _ section: Section, _ owner: DNSName, _ type: UInt16, ttl: UInt32,
    recordClass: UInt16 = DNSClass.internet
  ) {
    self.section = section
    name(owner)
    u16(type)
    u16(recordClass)
    u32(ttl)
    openRecord = bytes.count
    u16(0)
  }

  mutating func end() {
    patch(UInt16(truncatingIfNeeded: bytes.count - openRecord - 2), at: openRecord)
    counts[section.rawValue] &+= 1
  }

  /// An A or AAAA record, by the length of the address.
  mutating func address(_ section: Section, _ owner: DNSName, _ ip: [UInt8], ttl: UInt32) {
    begin(section, owner, ip.count == 4 ? DNSType.a : DNSType.aaaa, ttl: ttl)
    bytes += ip
    end()
  }

  /// A record whose data is a name.
  mutating func alias(
    _ section: Section, _ owner: DNSName, _ type: UInt16, _ target: DNSName, ttl: UInt32
  ) {
    begin(section, owner, type, ttl: ttl)
    name(target)
    end()
  }

  /// RFC 2782 asks not to compress the target; Consul does, and what reads it has to (RFC 3597 4
  /// lists SRV among those that receivers decompress).
  mutating func service(
    _ owner: DNSName, priority: UInt16, weight: UInt16, port: UInt16, target: DNSName, ttl: UInt32
  ) {
    begin(.answer, owner, DNSType.srv, ttl: ttl)
    u16(priority)
    u16(weight)
    u16(port)
    name(target)
    end()
  }

  /// A text is a chain of pieces of at most 255 bytes (RFC 1035 3.3.14).
  mutating func text(_ section: Section, _ owner: DNSName, _ text: [UInt8], ttl: UInt32) {
    begin(section, owner, DNSType.txt, ttl: ttl)
    var start = 0
    repeat {
      let end = min(start + 255, text.count)
      bytes.append(UInt8(end - start))
      bytes += text[start..<end]
      start = end
    } while start < text.count
    end()
  }

  static let optBytes = 11

  /// RFC 6891 6.1.2: the class is the size, the TTL holds the upper bits of the code.
  mutating func options(payloadBytes: UInt16, code: DNSCode) {
    begin(
      .additional, .root, DNSType.opt, ttl: UInt32(code.rawValue >> 4) << 24,
      recordClass: payloadBytes)
    end()
  }

  // MARK: Bytes and names

  mutating func u16(_ value: UInt16) {
    bytes.append(UInt8(value >> 8))
    bytes.append(UInt8(truncatingIfNeeded: value))
  }

  mutating func u32(_ value: UInt32) {
    u16(UInt16(value >> 16))
    u16(UInt16(truncatingIfNeeded: value))
  }

  private mutating func patch(_ value: UInt16, at offset: Int) {
    bytes[offset] = UInt8(value >> 8)
    bytes[offset + 1] = UInt8(truncatingIfNeeded: value)
  }

  mutating func name(_ name: DNSName) {
    measure(name)
    for index in labels.indices {
      if let known = find(name, index) {
        return u16(0xC000 | known)
      }
      let offset = bytes.count
      let start = labels[index]
      bytes += name.wire[start..<(start + 1 + Int(name.wire[start]))]
      if offset < Self.pointerLimit { insert(UInt16(offset), hashes[index]) }
    }
    bytes.append(0)
  }

  /// What `name` would take now.
  mutating func encodedCount(_ name: DNSName) -> Int {
    measure(name)
    for index in labels.indices where find(name, index) != nil { return labels[index] + 2 }
    return name.wire.count
  }

  /// Fills in `labels` and `hashes`; from the last label to the first, since a suffix's hash is
  /// made of the one behind it.
  private mutating func measure(_ name: DNSName) {
    labels.removeAll(keepingCapacity: true)
    hashes.removeAll(keepingCapacity: true)
    var position = 0
    while position < name.wire.count, name.wire[position] != 0 {
      labels.append(position)
      hashes.append(0)
      position += 1 + Int(name.wire[position])
    }
    var hash: UInt32 = 2_166_136_261
    var end = position
    for index in labels.indices.reversed() {
      // FNV-1a.
      for i in labels[index]..<end { hash = (hash ^ UInt32(name.wire[i])) &* 16_777_619 }
      hashes[index] = hash
      end = labels[index]
    }
  }

  private func find(_ name: DNSName, _ index: Int) -> UInt16? {
    let hash = hashes[index]
    var slot = Int(hash) & (table.count - 1)
    while table[slot] != 0 {
      let offset = UInt16(truncatingIfNeeded: table[slot])
      if table[slot] >> 16 == UInt64(hash), stands(name, from: labels[index], at: Int(offset)) {
        return offset
      }
      slot = (slot + 1) & (table.count - 1)
    }
    return nil
  }

  /// Whether the message holds the name's labels from `start` on at `offset`.
  private func stands(_ name: DNSName, from start: Int, at offset: Int) -> Bool {
    var position = offset
    var i = start
    while position < bytes.count, i < name.wire.count {
      let length = bytes[position]
      if length >= 0xC0 {
        guard position + 1 < bytes.count else { return false }
        let target = Int(length & 0x3F) << 8 | Int(bytes[position + 1])
        guard target < position else { return false }
        position = target
        continue
      }
      guard length == name.wire[i] else { return false }
      if length == 0 { return true }
      let count = 1 + Int(length)
      guard position + count <= bytes.count, i + count <= name.wire.count else { return false }
      for j in 1..<count where bytes[position + j] != name.wire[i + j] { return false }
      position += count
      i += count
    }
    return false
  }

  private mutating func insert(_ offset: UInt16, _ hash: UInt32) {
    if 2 * (tableCount + 1) > table.count {
      let old = table
      table = [UInt64](repeating: 0, count: old.count * 4)
      for entry in old where entry != 0 { put(entry) }
    }
    put(UInt64(hash) << 16 | UInt64(offset))
    tableCount += 1
  }

  private mutating func put(_ entry: UInt64) {
    var slot = Int(entry >> 16) & (table.count - 1)
    while table[slot] != 0 { slot = (slot + 1) & (table.count - 1) }
    table[slot] = entry
  }
}
