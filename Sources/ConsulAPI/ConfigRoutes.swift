import HTTP
import Registry

/// `/v1/config…` and `/v1/acl…` as a Consul answers that has no config entries and no ACLs
/// (consul-api.md 17, 18.1).
enum ConfigEntries {
  private static let kinds = [
    "service-defaults", "proxy-defaults", "service-router", "service-splitter",
    "service-resolver", "ingress-gateway", "terminating-gateway", "service-intentions", "mesh",
  ]

  static func get(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let parts = read.text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let kind = parts.first.map(String.init) ?? ""
    guard kinds.contains(kind) else { throw .failed("invalid config entry kind: \(kind)") }
    if parts.count > 1, !parts[1].isEmpty {
      let name = quoted(String(parts[1]))
      return .text(404, "Config entry not found for \(quoted(kind)) / \(name)")
    }
    return Answer(contentType: Answer.jsonType, body: Array("[]".utf8))
  }

  static func kindFault(_ kind: String) -> String? {
    kinds.contains(kind) ? nil : "invalid config entry kind: \(kind)"
  }
}

extension ConsulAPI {
  static func configPut(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var kind = ""
    do {
      let body = try BodyDecoder.parse(call.request.body)
      try BodyDecoder.object(body, "map[string]interface {}", ignoringUnknown: true) {
        name, field throws(DecodeError) in
        if name == "kind" { try field.read(&kind) }
        return true
      }
    } catch {
      throw .bad("Bad request: Request decoding failed: \(error.message)")
    }
    if let fault = ConfigEntries.kindFault(kind) {
      throw .bad("Bad request: Request decoding failed: \(fault)")
    }
    throw .failed("Roost keeps no config entries: it has no service mesh")
  }

  /// There is nothing to delete.
  static func configDelete(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    Answer(contentType: Answer.jsonType, body: Array("{}".utf8))
  }

  static func aclDisabled(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    throw Refusal(status: 401, text: "ACL support disabled")
  }

  static func datacenters(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var writer = call.writer(reserving: 32)
    writer.strings([api.site.datacenter])
    return .json(writer)
  }
}
