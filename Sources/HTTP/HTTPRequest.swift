package import EventLoop

/// Where one header field lies in a request's bytes.
struct HeaderField: Sendable {
  var nameStart: UInt32
  var nameCount: UInt32
  var valueStart: UInt32
  var valueCount: UInt32
}

/// Where the parts of a request's target lie in its bytes.
struct RequestTarget: Sendable {
  var pathStart = 0
  var pathEnd = 0
  /// Something in the path is percent-encoded.
  var hasEscapes = false
  /// After the `?`; nil without one.
  var queryStart: Int?
  var queryEnd = 0

  init() {}

  /// - Parameter mark: the place of the first `?`; nil without one.
  init(_ part: Range<Int>, mark: Int?, hasEscapes: Bool) {
    pathStart = part.lowerBound
    pathEnd = mark ?? part.upperBound
    queryStart = mark.map { $0 + 1 }
    queryEnd = part.upperBound
    self.hasEscapes = hasEscapes
  }
}

/// One parsed request whose body has arrived whole.
///
/// Holds its own bytes (the head, then the decoded body) by reference, never the connection's
/// buffer: copying it is cheap, and one that is kept for a long poll pins about a kilobyte.
package struct HTTPRequest: Sendable {
  package let method: HTTPMethod
  /// The address of the client's end of the connection.
  package let remoteAddress: SocketAddress
  /// `Content-Length` as sent; nil for chunked bodies and when absent.
  package let contentLength: Int?
  let bytes: [UInt8]
  let fields: [HeaderField]
  private let nameSizes: NameSizes
  let target: RequestTarget
  /// The body is all from here on.
  let bodyStart: Int

  init(
    method: HTTPMethod, remoteAddress: SocketAddress, contentLength: Int?, bytes: [UInt8],
    fields: [HeaderField], nameSizes: NameSizes, target: RequestTarget, bodyStart: Int
  ) {
    self.method = method
    self.remoteAddress = remoteAddress
    self.contentLength = contentLength
    self.bytes = bytes
    self.fields = fields
    self.nameSizes = nameSizes
    self.target = target
    self.bodyStart = bodyStart
  }

  /// A request made by hand, for tests of handlers without a socket. Nothing is checked.
  package init(
    method: HTTPMethod, target: String, headers: [(String, String)] = [], body: [UInt8] = []
  ) {
    var bytes = Array(target.utf8)
    var fields: [HeaderField] = []
    var nameSizes = NameSizes()
    let mark = bytes.firstIndex(of: 0x3F)
    let parts = RequestTarget(
      0..<bytes.count, mark: mark, hasEscapes: bytes[..<(mark ?? bytes.count)].contains(0x25))
    for (name, value) in headers {
      let start = bytes.count
      bytes.append(contentsOf: name.utf8)
      bytes.append(contentsOf: value.utf8)
      fields.append(
        HeaderField(
          nameStart: UInt32(start), nameCount: UInt32(name.utf8.count),
          valueStart: UInt32(start + name.utf8.count), valueCount: UInt32(value.utf8.count)))
      nameSizes.insert(name.utf8.count)
    }
    let length = headers.first { $0.0.lowercased() == "content-length" }
    let bodyStart = bytes.count
    bytes.append(contentsOf: body)
    self.init(
      method: method, remoteAddress: SocketAddress(ip: [127, 0, 0, 1], port: 0),
      contentLength: length.flatMap { $0.1.utf8.decimalNumber() }
        ?? (body.isEmpty ? nil : body.count),
      bytes: bytes, fields: fields, nameSizes: nameSizes, target: parts, bodyStart: bodyStart)
  }

  /// Bytes of the target before `?`, still percent-encoded.
  package var rawPath: ArraySlice<UInt8> { bytes[target.pathStart..<target.pathEnd] }
  /// False: the path is `rawPath` as it stands.
  package var isPathEncoded: Bool { target.hasEscapes }
  /// Bytes after `?`, still percent-encoded; nil without `?`.
  package var rawQuery: ArraySlice<UInt8>? {
    target.queryStart.map { start in bytes[start..<target.queryEnd] }
  }
  package var body: ArraySlice<UInt8> { bytes[bodyStart...] }

  /// The first header of that name, without surrounding blanks. `name` is lower case ASCII.
  package func header(_ name: StaticString) -> ArraySlice<UInt8>? {
    guard nameSizes.contains(name.utf8CodeUnitCount) else { return nil }
    for field in fields where Int(field.nameCount) == name.utf8CodeUnitCount {
      let start = Int(field.nameStart)
      // Names of one length mostly differ at their end or their start.
      let last = ASCII.lowercased(bytes[start + Int(field.nameCount) - 1])
      guard last == name.withBytes({ $0[$0.count - 1] }),
        bytes[start..<start + Int(field.nameCount)].equalsIgnoringCase(name)
      else { continue }
      return value(of: field)
    }
    return nil
  }

  /// Every header in order, for the few callers that look at all of them.
  package var headers: [(name: ArraySlice<UInt8>, value: ArraySlice<UInt8>)] {
    fields.map { field in
      let start = Int(field.nameStart)
      return (bytes[start..<start + Int(field.nameCount)], value(of: field))
    }
  }

  private func value(of field: HeaderField) -> ArraySlice<UInt8> {
    bytes[Int(field.valueStart)..<Int(field.valueStart) + Int(field.valueCount)]
  }
}
