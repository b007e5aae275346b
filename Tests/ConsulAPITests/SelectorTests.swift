import HTTP
import Registry
import Testing

@testable import ConsulAPI

/// Every field that an endpoint with `?filter=` shows can be named in a filter, and has there the
/// value that is shown (consul-api.md 20.2): asked for each field of each object of each endpoint.
struct SelectorTests {
  private static func harness() -> APIHarness {
    let harness = APIHarness()
    harness.put(
      "/v1/catalog/register",
      #"""
      {"Node":"x1","ID":"adf4238a-882b-9ddc-4a9d-5b6758e4159e","Address":"10.0.0.9",
       "TaggedAddresses":{"lan":"10.0.0.9"},"NodeMeta":{"env":"prod","a-b":"c/d"},
       "Service":{"ID":"web/1","Service":"web","Tags":["a","b c"],"Port":80,"Kind":"connect-proxy",
         "Address":"10.1.1.1","Meta":{"m":"1"},"Weights":{"Passing":3,"Warning":2},
         "TaggedAddresses":{"wan":{"Address":"1.2.3.4","Port":81}},"EnableTagOverride":true,
         "SocketPath":"/run/s","Connect":{"Native":true},
         "Proxy":{"DestinationServiceName":"db","LocalServicePort":9,"Mode":"direct"}},
       "Checks":[{"Name":"up","CheckID":"c1","Status":"passing","Notes":"n","Output":"o \"q\"",
         "ServiceID":"web/1"},{"Name":"disk","Status":"warning"}]}
      """#)
    harness.put("/v1/catalog/register", #"{"Node":"x2","Address":"a","Service":{"Service":"web"}}"#)
    harness.put(
      "/v1/agent/service/register",
      #"{"ID":"ag","Name":"web","Tags":["t"],"Port":8,"Meta":{"k":"v"},"Check":{"TTL":"30s"}}"#)
    harness.put("/v1/agent/check/register", #"{"Name":"alone","TTL":"10m","Notes":"n"}"#)
    return harness
  }

  /// What Consul has no selector for, either.
  private static let withoutSelector: Set = ["Definition", "Expose", "ContentHash"]

  /// The agent filters what it keeps: it has no datacenter, and other indexes than it shows.
  private static let ofTheAnswer: Set = ["Datacenter", "CreateIndex", "ModifyIndex"]

  /// One field: how a filter names it, and the filter that it must fulfil.
  private func filters(_ value: JSONValue, _ selector: String) -> [String] {
    switch value {
    case .string(let text): ["\(selector) == \(quoted(text))"]
    case .number(let text): ["\(selector) == \(text)"]
    case .bool(let flag): ["\(selector) == \(flag)", "\(selector) != \(!flag)"]
    case .array(let items):
      items.isEmpty ? ["\(selector) is empty"] : items.flatMap { element($0, selector) }
    case .object(let members):
      members.flatMap { member in
        Self.withoutSelector.contains(member.name)
          ? [] : filters(member.value, named(member.name, in: selector))
      }
    case .null: []
    }
  }

  private func element(_ item: JSONValue, _ selector: String) -> [String] {
    if case .string(let text) = item { return ["\(quoted(text)) in \(selector)"] }
    return filters(item, selector)
  }

  private func named(_ name: String, in selector: String) -> String {
    if selector.isEmpty { return name }
    let isPlain = name.utf8.allSatisfy { ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A }
    return isPlain ? "\(selector).\(name)" : "\(selector)[\(quoted(name))]"
  }

  /// The objects of an answer: of a list, or by their keys, also below `Services`.
  private func objects(_ value: JSONValue?) -> [JSONValue] {
    switch value {
    case .array(let items): return items
    case .object(let members):
      if let services = members.first(where: { $0.name == "Services" }) {
        return objects(services.value)
      }
      return members.map(\.value)
    default: return []
    }
  }

  @Test(arguments: [
    ("/v1/catalog/nodes", 3), ("/v1/catalog/service/web", 3), ("/v1/catalog/node/x1", 1),
    ("/v1/catalog/node-services/x1", 1), ("/v1/health/node/x1", 2), ("/v1/health/checks/web", 2),
    ("/v1/health/state/any", 5), ("/v1/health/service/web", 3), ("/v1/agent/services", 1),
    ("/v1/agent/checks", 2), ("/v1/internal/ui/nodes", 3),
  ])
  func everyFieldIsASelector(_ row: (target: String, count: Int)) throws {
    let harness = Self.harness()
    let all = objects(harness.get(row.target).json)
    #expect(all.count >= row.count, "\(row.target)")
    for object in all {
      guard case .object(let members) = object else { continue }
      for member in members where !Self.withoutSelector.contains(member.name) {
        if row.target.hasPrefix("/v1/agent"), Self.ofTheAnswer.contains(member.name) { continue }
        for filter in filters(member.value, member.name) {
          var encoded = ""
          for byte in filter.utf8 {
            encoded += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
          }
          let reply = harness.get("\(row.target)?filter=\(encoded)")
          #expect(reply.status == 200, "\(row.target) \(filter): \(reply.text)")
          #expect(objects(reply.json).contains(object), "\(row.target) \(filter)")
        }
      }
    }
  }
}
