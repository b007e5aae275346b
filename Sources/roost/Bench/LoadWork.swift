internal import Basics

/// What one request of a load does, and how it is written down for the system under load.
struct LoadWork {
  enum Kind: String, CaseIterable {
    case put, get, mixed, register, health
    /// `GET` of one fixed path, for servers that know nothing of keys.
    case path
  }

  /// What the system under load speaks.
  enum Wire {
    /// Roost and Consul: `/v1/kv`, HTTP/1.1.
    case http
    /// etcd: gRPC over HTTP/2 without TLS.
    case etcd
  }

  var kind = Kind.put
  var wire = Wire.http
  /// Appended to the path of reads, such as `?stale`.
  var readQuery = ""
  /// etcd's counterpart of a stale read.
  var isSerializable = false
  var path = "/"
  var valueBytes = 128
  var keys = 10_000
  /// Of the service that `health` asks for.
  var instances = 10
  /// Of a mixed load.
  var readPercent: UInt64 = 80
  /// Key after key instead of all over the place: for filling.
  var isSequential = false

  static let keyPrefix = "bench/"
  static let service = "bench-service"

  /// Whether request `number` reads.
  private func reads(_ number: UInt64) -> Bool {
    switch kind {
    case .get, .health, .path: true
    case .put, .register: false
    case .mixed: Self.scatter(number &* 3 &+ 1) % 100 < readPercent
    }
  }

  private static func scatter(_ number: UInt64) -> UInt64 {
    var generator = SplitMix(seed: number)
    return generator.next()
  }

  private func key(_ number: UInt64) -> UInt64 {
    (isSequential ? number : Self.scatter(number)) % UInt64(max(1, keys))
  }

  // MARK: HTTP/1.1

  func appendHTTP(_ number: UInt64, to output: inout [UInt8]) {
    let isRead = reads(number)
    output.append(contentsOf: (isRead ? "GET " : "PUT ").utf8)
    switch kind {
    case .path: output.append(contentsOf: path.utf8)
    case .health:
      output.append(contentsOf: "/v1/health/service/".utf8)
      output.append(contentsOf: Self.service.utf8)
      output.append(contentsOf: readQuery.isEmpty ? "?passing".utf8 : readQuery.utf8)
      if !readQuery.isEmpty { output.append(contentsOf: "&passing".utf8) }
    case .register: output.append(contentsOf: "/v1/agent/service/register".utf8)
    case .put, .get, .mixed:
      output.append(contentsOf: "/v1/kv/".utf8)
      appendKey(number, to: &output)
      if isRead { output.append(contentsOf: readQuery.utf8) }
    }
    output.append(contentsOf: " HTTP/1.1\r\nHost: bench\r\n".utf8)
    guard !isRead else { return output.append(contentsOf: "\r\n".utf8) }
    let body = kind == .register ? registration(number) : []
    output.append(contentsOf: "Content-Length: ".utf8)
    let length = kind == .register ? body.count : valueBytes
    output.append(contentsOf: String(length).utf8)
    output.append(contentsOf: "\r\n\r\n".utf8)
    if kind == .register {
      output.append(contentsOf: body)
    } else {
      appendValue(number, to: &output)
    }
  }

  private func registration(_ number: UInt64) -> [UInt8] {
    let id = key(number)
    // The port differs each time: an identical registration changes nothing.
    let text =
      "{\"ID\":\"bench-\(id)\",\"Name\":\"\(Self.service)\",\"Address\":\"10.0.0.1\","
      + "\"Port\":\(1 + number % 65_000)}"
    return Array(text.utf8)
  }

  private func appendKey(_ number: UInt64, to output: inout [UInt8]) {
    output.append(contentsOf: Self.keyPrefix.utf8)
    var rest = key(number)
    var digits: InlineArray<9, UInt8> = .init(repeating: 0x30)
    for place in (0..<9).reversed() {
      digits[place] = 0x30 + UInt8(rest % 10)
      rest /= 10
    }
    for place in 0..<9 { output.append(digits[place]) }
  }

  /// Sixteen digits that differ with every request, since writing what is there already costs less;
  /// then filler.
  private func appendValue(_ number: UInt64, to output: inout [UInt8]) {
    var rest = Self.scatter(number &+ 0xABCD)
    for _ in 0..<min(16, valueBytes) {
      output.append(0x61 + UInt8(rest & 15))
      rest >>= 4
    }
    if valueBytes > 16 { output.append(contentsOf: repeatElement(0x78, count: valueBytes - 16)) }
  }

  // MARK: etcd

  /// The frames of one call: HEADERS without indexing, DATA that ends the stream (RFC 9113 6.2, 6.1).
  func appendEtcd(_ number: UInt64, stream: UInt32, to output: inout [UInt8]) {
    let isRead = reads(number)
    let head = isRead ? Self.rangeHead : Self.putHead
    HTTP2.appendFrame(.headers, flags: HTTP2.endHeaders, stream: stream, head, to: &output)
    var message: [UInt8] = [0, 0, 0, 0, 0, 0x0A, UInt8(Self.keyPrefix.utf8.count + 9)]
    message.reserveCapacity(valueBytes + 40)
    appendKey(number, to: &message)
    if isRead {
      if isSerializable { message.append(contentsOf: [0x38, 1]) }
    } else {
      message.append(0x12)
      var length = valueBytes
      while length >= 0x80 {
        message.append(UInt8(length & 0x7F) | 0x80)
        length >>= 7
      }
      message.append(UInt8(length))
      appendValue(number, to: &message)
    }
    let size = message.count - 5
    for place in 0..<4 { message[1 + place] = UInt8(truncatingIfNeeded: size >> (24 - 8 * place)) }
    HTTP2.appendFrame(.data, flags: HTTP2.endStream, stream: stream, message, to: &output)
  }

  private static let putHead = head("/etcdserverpb.KV/Put")
  private static let rangeHead = head("/etcdserverpb.KV/Range")

  /// A header block of literals without indexing (RFC 7541 6.2.2): it needs no state.
  private static func head(_ path: String) -> [UInt8] {
    func text(_ value: String) -> [UInt8] { [UInt8(value.utf8.count)] + Array(value.utf8) }
    // Static table: 3 = :method POST, 6 = :scheme http, 4 = :path, 1 = :authority, 31 = content-type.
    var block: [UInt8] = [0x83, 0x86, 0x04]
    block += text(path)
    block += [0x01] + text("bench")
    block += [0x0F, 0x10] + text("application/grpc")
    block += [0x00] + text("te") + text("trailers")
    return block
  }
}
