import Testing

@testable import DNS

struct NameTests {
  @Test(
    arguments: [
      ("", [0]), (".", []), ("a", [1, 0x61, 0]), ("a.", [1, 0x61, 0]),
      ("ab.C", [2, 0x61, 0x62, 1, 0x43, 0]), ("a..b", []), (".a", []),
    ] as [(String, [UInt8])])
  func textsBecomeLabels(_ row: (text: String, wire: [UInt8])) {
    #expect(DNSName(row.text)?.wire ?? [] == row.wire)
  }

  @Test func labelsHaveAtMost63BytesAndNames255() {
    let label = String(repeating: "x", count: 63)
    #expect(DNSName(label) != nil)
    #expect(DNSName(label + "x") == nil)
    #expect(DNSName(label + "x.y") == nil)
    let longest = [label, label, label, String(repeating: "y", count: 61)].joined(separator: ".")
    #expect(DNSName(longest)?.wire.count == 255)
    #expect(DNSName(longest + "y") == nil)
    #expect(DNSName("a", under: DNSName(longest)!) == nil)
  }

  @Test func domainsAreComparedWithoutCaseAtLabels() throws {
    let domain = try #require(DNSName("consul"))
    #expect(DNSName("web.service.CONSUL")?.labelCount(under: domain) == 2)
    #expect(DNSName("Consul")?.labelCount(under: domain) == 0)
    #expect(DNSName("xconsul")?.labelCount(under: domain) == nil)
    #expect(DNSName("consul.org")?.labelCount(under: domain) == nil)
    // The bytes of the domain inside of one label.
    let fake = DNSName(unchecked: [8, 0x78] + domain.wire.dropLast() + [0])
    #expect(fake.labelCount(under: domain) == nil)
  }

  @Test func reverseNamesAreWholeAddresses() {
    func address(_ text: String) -> [UInt8]? { DNSReverse.address(DNSName(text)!.foldedLabels) }
    #expect(address("4.3.2.10.in-addr.arpa") == [10, 2, 3, 4])
    for text in [
      "3.2.10.in-addr.arpa", "256.3.2.10.in-addr.arpa", "+4.3.2.10.in-addr.arpa",
      "04.3.2.10.in-addr.arpa", "x.3.2.10.in-addr.arpa", "in-addr.arpa", "arpa",
      "5.4.3.2.10.in-addr.arpa", "1.0.ip6.arpa",
    ] { #expect(address(text) == nil, "\(text)") }
    let nibbles = Array(repeating: "0.", count: 30).joined()
    #expect(address("1.0." + nibbles + "ip6.arpa") == [UInt8](repeating: 0, count: 15) + [1])
    #expect(address("g.0." + nibbles + "ip6.arpa") == nil)
  }
}
