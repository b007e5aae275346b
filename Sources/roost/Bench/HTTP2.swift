/// The few frames of HTTP/2 (RFC 9113) that a gRPC client under load needs.
enum HTTP2 {
  enum Kind: UInt8 {
    case data = 0
    case headers = 1
    case reset = 3
    case settings = 4
    case ping = 6
    case goAway = 7
    case windowUpdate = 8
  }

  static let endStream: UInt8 = 1
  static let endHeaders: UInt8 = 4
  static let acknowledgement: UInt8 = 1
  static let frameHeadBytes = 9
  /// Payload of one frame unless the other side allows more.
  static let frameBytesMax = 16_384
  /// What the other side may send before it needs a window update.
  static let window: UInt32 = 1 << 30

  static func appendFrame(
    _ kind: Kind, flags: UInt8, stream: UInt32, _ payload: [UInt8], to output: inout [UInt8]
  ) {
    let length = payload.count
    output.append(UInt8(truncatingIfNeeded: length >> 16))
    output.append(UInt8(truncatingIfNeeded: length >> 8))
    output.append(UInt8(truncatingIfNeeded: length))
    output.append(kind.rawValue)
    output.append(flags)
    append(stream, to: &output)
    output.append(contentsOf: payload)
  }

  private static func append(_ number: UInt32, to output: inout [UInt8]) {
    for shift in [24, 16, 8, 0] as [UInt32] {
      output.append(UInt8(truncatingIfNeeded: number >> shift))
    }
  }

  /// Preface, settings with a wide window for streams, and the same for the connection.
  static func appendPreface(to output: inout [UInt8]) {
    output.append(contentsOf: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    var settings: [UInt8] = [0, 4]
    append(window, to: &settings)
    appendFrame(.settings, flags: 0, stream: 0, settings, to: &output)
    appendWindowUpdate(window - 65_535, to: &output)
  }

  static func appendWindowUpdate(_ increment: UInt32, to output: inout [UInt8]) {
    var payload: [UInt8] = []
    append(increment, to: &payload)
    appendFrame(.windowUpdate, flags: 0, stream: 0, payload, to: &output)
  }

  struct Frame {
    var kind: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: Range<Int>
  }

  /// The first frame of `bytes[range]`, nil while it is not whole.
  static func frame(_ bytes: [UInt8], _ range: Range<Int>) -> Frame? {
    guard range.count >= frameHeadBytes else { return nil }
    let start = range.lowerBound
    let length = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
    guard range.count >= frameHeadBytes + length else { return nil }
    var stream: UInt32 = 0
    for place in 5..<9 { stream = stream << 8 | UInt32(bytes[start + place]) }
    let body = start + frameHeadBytes
    return Frame(
      kind: bytes[start + 3], flags: bytes[start + 4], stream: stream & 0x7FFF_FFFF,
      payload: body..<body + length)
  }
}
