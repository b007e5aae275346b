/// A domain name as it stands in a message: labels with their lengths, uncompressed, the root last
/// (RFC 1035 3.1). At most 255 bytes, labels of 1 to 63.
///
/// The case is kept as given. Equality is bytewise: two spellings of one name are two values, which
/// is what compression wants; lookups fold first.
package struct DNSName: Hashable, Sendable, CustomStringConvertible {
  package static let bytesMax = 255
  package static let labelBytesMax = 63
  package static let root = DNSName(unchecked: [0])

  package let wire: [UInt8]

  /// `wire` is known to be a name.
  init(unchecked wire: [UInt8]) { self.wire = wire }

  /// From "a.b.c" or "a.b.c."; nil when it cannot be a name. There are no escapes.
  package init?(_ text: String) {
    self.init(text, under: .root)
  }

  /// `text` (one or more labels) in front of `parent`.
  package init?(_ text: String, under parent: DNSName) {
    var wire: [UInt8] = []
    wire.reserveCapacity(text.utf8.count + 1 + parent.wire.count)
    var labelStart = 0
    wire.append(0)
    for byte in text.utf8 {
      if byte == UInt8(ascii: ".") {
        let count = wire.count - labelStart - 1
        guard count > 0, count <= DNSName.labelBytesMax else { return nil }
        wire[labelStart] = UInt8(count)
        labelStart = wire.count
        wire.append(0)
      } else {
        wire.append(byte)
      }
      guard wire.count <= DNSName.bytesMax else { return nil }
    }
    let count = wire.count - labelStart - 1
    guard count <= DNSName.labelBytesMax else { return nil }
    if count > 0 {
      wire[labelStart] = UInt8(count)
    } else {
      // What ended with a dot, or was empty: no label begins here.
      wire.removeLast()
    }
    guard wire.count + parent.wire.count <= DNSName.bytesMax else { return nil }
    wire += parent.wire
    self.wire = wire
  }

  /// Where each label's length byte is, the root's not counted.
  var labelOffsets: [Int] {
    var offsets: [Int] = []
    var position = 0
    while position < wire.count, wire[position] != 0 {
      offsets.append(position)
      position += 1 + Int(wire[position])
    }
    return offsets
  }

  /// The labels in lower case, as text.
  package var foldedLabels: [String] {
    labelOffsets.map { offset in
      let label = wire[(offset + 1)..<(offset + 1 + Int(wire[offset]))]
      return String(decoding: label.map(DNSName.folded), as: UTF8.self)
    }
  }

  /// How many labels stand in front of `parent`, compared without case (RFC 1035 2.3.3); nil when
  /// this name is not in it.
  func labelCount(under parent: DNSName) -> Int? {
    guard wire.count >= parent.wire.count else { return nil }
    let start = wire.count - parent.wire.count
    for i in 0..<parent.wire.count
    where DNSName.folded(wire[start + i]) != DNSName.folded(parent.wire[i]) { return nil }
    // The bytes agree; they are the name only if a label begins there.
    var position = 0
    var count = 0
    while position < start {
      position += 1 + Int(wire[position])
      count += 1
    }
    return position == start ? count : nil
  }

  /// The same name, whatever the case.
  func matches(_ other: DNSName) -> Bool { labelCount(under: other) == 0 }

  static func folded(_ byte: UInt8) -> UInt8 {
    byte >= 0x41 && byte <= 0x5A ? byte + 0x20 : byte
  }

  /// "a.b.c." for messages and tests.
  package var description: String {
    guard wire.count > 1 else { return "." }
    return labelOffsets.map { offset in
      String(decoding: wire[(offset + 1)..<(offset + 1 + Int(wire[offset]))], as: UTF8.self) + "."
    }.joined()
  }
}
