/// The call `grpc.health.v1.Health/Check` on an HTTP/2 connection of its own, without the socket:
/// bytes in, bytes out.
///
/// Happy path: preface, SETTINGS and the request leave at once; the server's SETTINGS and PINGs are
/// acknowledged; its headers, message and trailers are gathered until the stream ends. Failures:
/// whatever breaks HTTP/2 (RFC 9113), gRPC's framing or a limit ends the call with a reason. Flow
/// control needs no care: an answer fits the initial window many times, a larger one is refused.
struct GRPCCall {
  enum Outcome: Equatable {
    case serving
    case failed(String)
  }

  private enum FrameType {
    static let data: UInt8 = 0
    static let headers: UInt8 = 1
    static let resetStream: UInt8 = 3
    static let settings: UInt8 = 4
    static let pushPromise: UInt8 = 5
    static let ping: UInt8 = 6
    static let goAway: UInt8 = 7
    static let continuation: UInt8 = 9
  }
  private enum Flag {
    /// On SETTINGS and PING: an acknowledgement.
    static let endStream: UInt8 = 0x1
    static let endHeaders: UInt8 = 0x4
    static let padded: UInt8 = 0x8
    static let priority: UInt8 = 0x20
  }
  private struct Frame {
    var type: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: ArraySlice<UInt8>
  }

  private static let frameHeaderBytes = 9
  /// The initial SETTINGS_MAX_FRAME_SIZE, which we do not raise.
  private static let frameBytesMax = 16_384
  private static let messageBytesMax = 16_384
  /// Of everything the server sends.
  private static let bytesMax = 256 << 10
  private static let stream: UInt32 = 1

  private(set) var outcome: Outcome?
  private var input: [UInt8] = []
  private var output: [UInt8] = []
  private var received = 0
  private var decoder = HPACKDecoder()
  private var headers: [HTTP2Header] = []
  private var message: [UInt8] = []
  /// A header block that goes on in CONTINUATION frames, and whether the stream ends with it.
  private var block: (bytes: [UInt8], endsStream: Bool)?

  init(authority: String, service: String) {
    output += Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    // SETTINGS_ENABLE_PUSH 0.
    send(FrameType.settings, 0, stream: 0, [0, 2, 0, 0, 0, 0])
    var block: [UInt8] = [0x83, 0x86]  // :method POST, :scheme http
    Self.append(&block, indexedName: 4, "/grpc.health.v1.Health/Check")
    Self.append(&block, indexedName: 1, authority)
    Self.append(&block, indexedName: 31, "application/grpc")
    block.append(0)
    Self.append(&block, text: "te")
    Self.append(&block, text: "trailers")
    Self.append(&block, indexedName: 58, "Consul Health Check")
    send(FrameType.headers, Flag.endHeaders, stream: Self.stream, block)
    // HealthCheckRequest { string service = 1 } behind gRPC's five bytes.
    var request: [UInt8] = []
    if !service.isEmpty {
      request.append(0x0A)
      Self.append(&request, varint: service.utf8.count)
      request += Array(service.utf8)
    }
    let length = UInt32(request.count)
    let prefix: [UInt8] = [0] + (0..<4).map { UInt8(truncatingIfNeeded: length >> (24 - 8 * $0)) }
    send(FrameType.data, Flag.endStream, stream: Self.stream, prefix + request)
  }

  /// What is to be sent now.
  mutating func takeOutput() -> [UInt8] {
    let taken = output
    output.removeAll(keepingCapacity: true)
    return taken
  }

  /// The server closed the connection.
  mutating func receiveEnd() { fail("Unavailable", "connection closed before the answer") }

  mutating func receive(_ bytes: ArraySlice<UInt8>) {
    received += bytes.count
    guard received <= Self.bytesMax else { return fail("ResourceExhausted", "answer too large") }
    input += bytes
    var start = 0
    while outcome == nil, input.count - start >= Self.frameHeaderBytes {
      let length = Int(input[start]) << 16 | Int(input[start + 1]) << 8 | Int(input[start + 2])
      guard length <= Self.frameBytesMax else {
        return fail("Internal", "not an HTTP/2 server, or a frame too large")
      }
      let end = start + Self.frameHeaderBytes + length
      guard input.count >= end else { break }
      let stream = input[(start + 5)..<(start + 9)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      let frame = Frame(
        type: input[start + 3], flags: input[start + 4], stream: stream & 0x7FFF_FFFF,
        payload: input[(start + Self.frameHeaderBytes)..<end])
      start = end
      handle(frame)
    }
    input.removeFirst(start)
  }

  // MARK: Frames

  private mutating func handle(_ frame: Frame) {
    if block != nil, frame.type != FrameType.continuation {
      return fail("Internal", "header block interrupted")
    }
    switch frame.type {
    case FrameType.settings:
      if frame.flags & Flag.endStream == 0 {
        send(FrameType.settings, Flag.endStream, stream: 0, [])
      }
    case FrameType.ping:
      if frame.flags & Flag.endStream == 0 {
        send(FrameType.ping, Flag.endStream, stream: 0, Array(frame.payload))
      }
    case FrameType.goAway:
      let last = frame.payload.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF
      if last < Self.stream { fail("Unavailable", "server is going away") }
    case FrameType.pushPromise: fail("Internal", "pushed although it is switched off")
    default:
      if frame.stream == Self.stream { handleOfStream(frame) }
    }
  }

  private mutating func handleOfStream(_ frame: Frame) {
    let endsStream = frame.flags & Flag.endStream != 0
    switch frame.type {
    case FrameType.data:
      guard let data = Self.unpadded(frame) else { return fail("Internal", "bad padding") }
      guard message.count + data.count <= Self.messageBytesMax else {
        return fail("ResourceExhausted", "message too large")
      }
      message += data
      if endsStream { finish() }
    case FrameType.headers:
      guard var fragment = Self.unpadded(frame) else { return fail("Internal", "bad padding") }
      if frame.flags & Flag.priority != 0 { fragment = fragment.dropFirst(5) }
      block = (Array(fragment), endsStream)
      if frame.flags & Flag.endHeaders != 0 { finishBlock() }
    case FrameType.continuation:
      guard let old = block else { return fail("Internal", "CONTINUATION without HEADERS") }
      guard old.bytes.count + frame.payload.count <= HPACKDecoder.blockBytesMax else {
        return fail("ResourceExhausted", "headers too large")
      }
      block?.bytes += frame.payload
      if frame.flags & Flag.endHeaders != 0 { finishBlock() }
    case FrameType.resetStream: fail("Unavailable", "stream reset by the server")
    default: break
    }
  }

  private mutating func finishBlock() {
    guard let (bytes, endsStream) = block.take() else { return }
    guard let decoded = decoder.decode(bytes) else {
      return fail("Internal", "headers cannot be decoded")
    }
    headers += decoded
    if endsStream { finish() }
  }

  /// Nil when the padding is longer than the frame.
  private static func unpadded(_ frame: Frame) -> ArraySlice<UInt8>? {
    guard frame.flags & Flag.padded != 0 else { return frame.payload }
    guard let padding = frame.payload.first, Int(padding) < frame.payload.count else { return nil }
    return frame.payload.dropFirst().dropLast(Int(padding))
  }

  private mutating func send(_ type: UInt8, _ flags: UInt8, stream: UInt32, _ payload: [UInt8]) {
    let count = payload.count
    output += [
      UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8),
      UInt8(truncatingIfNeeded: count), type, flags,
    ]
    output += (0..<4).map { UInt8(truncatingIfNeeded: stream >> (24 - 8 * $0)) }
    output += payload
  }

  // MARK: The answer

  private func header(_ name: String) -> String? { headers.last { $0.name == name }?.value }

  private mutating func fail(_ code: String, _ reason: String) {
    if outcome == nil { outcome = .failed("rpc error: code = \(code) desc = \(reason)") }
  }

  private mutating func finish() {
    let status = header(":status") ?? "none"
    guard status == "200" else {
      return fail("Unknown", "unexpected HTTP status code received from server: \(status)")
    }
    guard let code = header("grpc-status") else {
      return fail("Internal", "server closed the stream without sending trailers")
    }
    guard code == "0" else {
      let text = GRPCStatus.decoded(header("grpc-message") ?? "")
      return fail(GRPCStatus.name(code), text)
    }
    // Uncompressed, one message: five bytes before it.
    guard message.count >= 5, message[0] == 0 else {
      return fail("Internal", "the message cannot be read")
    }
    outcome =
      GRPCStatus.servingStatus(message[5...]) == 1
      ? .serving : .failed("gRPC application didn't report service healthy")
  }

  // MARK: Writing

  /// Literal without indexing, name from the static table, no Huffman code.
  private static func append(_ block: inout [UInt8], indexedName: Int, _ value: String) {
    if indexedName < 15 {
      block.append(UInt8(indexedName))
    } else {
      block += [0x0F, UInt8(indexedName - 15)]
    }
    append(&block, text: value)
  }

  private static func append(_ block: inout [UInt8], text: String) {
    let count = text.utf8.count
    if count < 127 {
      block.append(UInt8(count))
    } else {
      block.append(127)
      append(&block, varint: count - 127)
    }
    block += Array(text.utf8)
  }

  private static func append(_ bytes: inout [UInt8], varint: Int) {
    var rest = varint
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }
}

/// What gRPC puts into trailers and health messages.
enum GRPCStatus {
  private static let names = [
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
    "AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted",
    "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
  ]

  /// As Go writes it.
  static func name(_ code: String) -> String {
    guard code.utf8.count <= 2, let number = Int(code), names.indices.contains(number) else {
      return "Code(\(code))"
    }
    return names[number]
  }

  /// Percent-encoded UTF-8; what is no escape stays.
  static func decoded(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var i = 0
    while i < bytes.count {
      if bytes[i] == UInt8(ascii: "%"), i + 2 < bytes.count, let high = hex(bytes[i + 1]),
        let low = hex(bytes[i + 2])
      {
        result.append(high << 4 | low)
        i += 3
      } else {
        result.append(bytes[i])
        i += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func hex(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x37
    case 0x61...0x66: digit - 0x57
    default: nil
    }
  }

  /// HealthCheckResponse { ServingStatus status = 1 }; nil when it cannot be read. Unknown fields
  /// are skipped, a missing one is 0 (UNKNOWN).
  static func servingStatus(_ message: ArraySlice<UInt8>) -> UInt64? {
    var input = message
    var status: UInt64 = 0
    while !input.isEmpty {
      guard let tag = varint(&input) else { return nil }
      switch tag & 7 {
      case 0:
        guard let value = varint(&input) else { return nil }
        if tag >> 3 == 1 { status = value }
      case 1:
        guard input.count >= 8 else { return nil }
        input = input.dropFirst(8)
      case 2:
        guard let count = varint(&input), count <= UInt64(input.count) else { return nil }
        input = input.dropFirst(Int(count))
      case 5:
        guard input.count >= 4 else { return nil }
        input = input.dropFirst(4)
      default: return nil
      }
    }
    return status
  }

  private static func varint(_ input: inout ArraySlice<UInt8>) -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = input.popFirst() else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }
}
