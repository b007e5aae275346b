import EventLoop
import Testing

struct AddressRow: CustomTestStringConvertible {
  var text: String
  /// Nil: not an address.
  var description: String?
  var testDescription: String { String(text.prefix(30).filter { $0 != "\0" }) }
}

@Suite struct SocketAddressTests {
  @Test(arguments: [
    AddressRow(text: "127.0.0.1:8500", description: "127.0.0.1:8500"),
    AddressRow(text: "0.0.0.0:0", description: "0.0.0.0:0"),
    AddressRow(text: "255.255.255.255:65535", description: "255.255.255.255:65535"),
    AddressRow(text: "[::1]:80", description: "[::1]:80"),
    AddressRow(text: "[2001:db8:0:0::1]:443", description: "[2001:db8::1]:443"),
    AddressRow(text: "127.0.0.1"), AddressRow(text: "127.0.0.1:"), AddressRow(text: ":80"),
    AddressRow(text: "127.0.0.1:65536"), AddressRow(text: "127.0.0.1:+80"),
    AddressRow(text: "127.0.0.1:-1"), AddressRow(text: "127.0.0.1:080000"),
    AddressRow(text: "256.0.0.1:80"), AddressRow(text: "1.2.3:80"),
    AddressRow(text: "1.2.3.4.5:80"), AddressRow(text: "::1:80"),
    AddressRow(text: "[127.0.0.1]:80"), AddressRow(text: "[::1:80"), AddressRow(text: "[]:80"),
    AddressRow(text: "localhost:80"), AddressRow(text: ""), AddressRow(text: ":"),
    AddressRow(text: "127.0.0.1\0:80"), AddressRow(text: "[::g]:80"),
    AddressRow(text: String(repeating: "1", count: 10_000) + ":80"),
  ])
  func parses(_ row: AddressRow) {
    #expect(SocketAddress(parsing: row.text)?.description == row.description)
  }

  @Test func hostAndBytes() throws {
    let v4 = try #require(SocketAddress(host: "10.1.2.3", port: 99))
    #expect(v4.ip == [10, 1, 2, 3])
    #expect(v4.host == "10.1.2.3")
    let v6 = try #require(SocketAddress(host: "fe80::1", port: 99))
    #expect(v6.ip == [0xFE, 0x80] + [UInt8](repeating: 0, count: 13) + [1])
    #expect(v6.description == "[fe80::1]:99")
    #expect(SocketAddress(host: "example.com", port: 1) == nil)
  }

  @Test func errorsAreSentences() {
    let error = SystemError(operation: "listen on", subject: "127.0.0.1:8500", code: 98)
    #expect("\(error)" == "listen on 127.0.0.1:8500: address already in use")
  }
}
