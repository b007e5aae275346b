/// One field of an HTTP/2 header block.
struct HTTP2Header: Equatable, Sendable {
  var name: String
  var value: String
}

/// Decodes header blocks (RFC 7541), with the dynamic table of one connection. Pure.
///
/// Failures: a block that breaks the format or a limit makes the connection useless (its table is
/// lost), which is what nil means.
struct HPACKDecoder {
  /// What we announce (the default of SETTINGS_HEADER_TABLE_SIZE).
  static let tableBytesMax = 4096
  /// All names and values of a block, each with 32 bytes as the RFC counts them.
  static let blockBytesMax = 64 << 10
  private static let entryOverhead = 32

  private var table: [HTTP2Header] = []
  private var tableBytes = 0
  private var tableLimit = tableBytesMax

  mutating func decode(_ block: [UInt8]) -> [HTTP2Header]? {
    var input = block[...]
    var headers: [HTTP2Header] = []
    var bytes = 0
    while let first = input.first {
      let header: HTTP2Header?
      switch first {
      case 0x80...:
        guard let index = Self.integer(&input, prefix: 7) else { return nil }
        header = entry(index)
      case 0x40..<0x80:
        header = literal(&input, prefix: 6)
        if let header { insert(header) }
      case 0x20..<0x40:
        // A new size of the table, only before the first header (4.2).
        guard headers.isEmpty, let size = Self.integer(&input, prefix: 5),
          size <= Self.tableBytesMax
        else { return nil }
        tableLimit = size
        evict(room: 0)
        continue
      default:
        header = literal(&input, prefix: 4)
      }
      guard let header else { return nil }
      bytes += Self.size(header)
      guard bytes <= Self.blockBytesMax else { return nil }
      headers.append(header)
    }
    return headers
  }

  private mutating func literal(_ input: inout ArraySlice<UInt8>, prefix: Int) -> HTTP2Header? {
    guard let index = Self.integer(&input, prefix: prefix) else { return nil }
    let name = index == 0 ? Self.text(&input) : entry(index)?.name
    guard let name, let value = Self.text(&input) else { return nil }
    return HTTP2Header(name: name, value: value)
  }

  // MARK: Tables

  private func entry(_ index: Int) -> HTTP2Header? {
    guard index > 0 else { return nil }
    if index <= Self.staticTable.count { return Self.staticTable[index - 1] }
    // The newest entry has the lowest index; the array has it last.
    let place = table.count - (index - Self.staticTable.count)
    return table.indices.contains(place) ? table[place] : nil
  }

  private static func size(_ header: HTTP2Header) -> Int {
    header.name.utf8.count + header.value.utf8.count + entryOverhead
  }

  private mutating func insert(_ header: HTTP2Header) {
    let size = Self.size(header)
    evict(room: size)
    guard size <= tableLimit else { return }
    table.append(header)
    tableBytes += size
  }

  private mutating func evict(room: Int) {
    var dropped = 0
    while dropped < table.count, tableBytes + room > tableLimit {
      tableBytes -= Self.size(table[dropped])
      dropped += 1
    }
    table.removeFirst(dropped)
  }

  // MARK: Primitives (5.1, 5.2)

  private static func integer(_ input: inout ArraySlice<UInt8>, prefix: Int) -> Int? {
    guard let first = input.popFirst() else { return nil }
    let mask = (1 << prefix) - 1
    var value = Int(first) & mask
    guard value == mask else { return value }
    // Four more bytes carry more than any number that is allowed here.
    for shift in stride(from: 0, to: 28, by: 7) {
      guard let byte = input.popFirst() else { return nil }
      value += Int(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }

  private static func text(_ input: inout ArraySlice<UInt8>) -> String? {
    guard let first = input.first else { return nil }
    guard let count = integer(&input, prefix: 7), count <= input.count else { return nil }
    let bytes = input.prefix(count)
    input = input.dropFirst(count)
    guard first >= 0x80 else { return String(decoding: bytes, as: UTF8.self) }
    return HPACKHuffman.shared.decode(bytes, bytesMax: blockBytesMax).map {
      String(decoding: $0, as: UTF8.self)
    }
  }

  /// Appendix A.
  private static let staticTable: [HTTP2Header] = [
    HTTP2Header(name: ":authority", value: ""),
    HTTP2Header(name: ":method", value: "GET"),
    HTTP2Header(name: ":method", value: "POST"),
    HTTP2Header(name: ":path", value: "/"),
    HTTP2Header(name: ":path", value: "/index.html"),
    HTTP2Header(name: ":scheme", value: "http"),
    HTTP2Header(name: ":scheme", value: "https"),
    HTTP2Header(name: ":status", value: "200"),
    HTTP2Header(name: ":status", value: "204"),
    HTTP2Header(name: ":status", value: "206"),
    HTTP2Header(name: ":status", value: "304"),
    HTTP2Header(name: ":status", value: "400"),
    HTTP2Header(name: ":status", value: "404"),
    HTTP2Header(name: ":status", value: "500"),
    HTTP2Header(name: "accept-charset", value: ""),
    HTTP2Header(name: "accept-encoding", value: "gzip, deflate"),
    HTTP2Header(name: "accept-language", value: ""),
    HTTP2Header(name: "accept-ranges", value: ""),
    HTTP2Header(name: "accept", value: ""),
    HTTP2Header(name: "access-control-allow-origin", value: ""),
    HTTP2Header(name: "age", value: ""),
    HTTP2Header(name: "allow", value: ""),
    HTTP2Header(name: "authorization", value: ""),
    HTTP2Header(name: "cache-control", value: ""),
    HTTP2Header(name: "content-disposition", value: ""),
    HTTP2Header(name: "content-encoding", value: ""),
    HTTP2Header(name: "content-language", value: ""),
    HTTP2Header(name: "content-length", value: ""),
    HTTP2Header(name: "content-location", value: ""),
    HTTP2Header(name: "content-range", value: ""),
    HTTP2Header(name: "content-type", value: ""),
    HTTP2Header(name: "cookie", value: ""),
    HTTP2Header(name: "date", value: ""),
    HTTP2Header(name: "etag", value: ""),
    HTTP2Header(name: "expect", value: ""),
    HTTP2Header(name: "expires", value: ""),
    HTTP2Header(name: "from", value: ""),
    HTTP2Header(name: "host", value: ""),
    HTTP2Header(name: "if-match", value: ""),
    HTTP2Header(name: "if-modified-since", value: ""),
    HTTP2Header(name: "if-none-match", value: ""),
    HTTP2Header(name: "if-range", value: ""),
    HTTP2Header(name: "if-unmodified-since", value: ""),
    HTTP2Header(name: "last-modified", value: ""),
    HTTP2Header(name: "link", value: ""),
    HTTP2Header(name: "location", value: ""),
    HTTP2Header(name: "max-forwards", value: ""),
    HTTP2Header(name: "proxy-authenticate", value: ""),
    HTTP2Header(name: "proxy-authorization", value: ""),
    HTTP2Header(name: "range", value: ""),
    HTTP2Header(name: "referer", value: ""),
    HTTP2Header(name: "refresh", value: ""),
    HTTP2Header(name: "retry-after", value: ""),
    HTTP2Header(name: "server", value: ""),
    HTTP2Header(name: "set-cookie", value: ""),
    HTTP2Header(name: "strict-transport-security", value: ""),
    HTTP2Header(name: "transfer-encoding", value: ""),
    HTTP2Header(name: "user-agent", value: ""),
    HTTP2Header(name: "vary", value: ""),
    HTTP2Header(name: "via", value: ""),
    HTTP2Header(name: "www-authenticate", value: ""),
  ]
}
