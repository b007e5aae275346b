import HTTP
import Registry

/// `/v1/config…` (consul-api.md 17): entries are kept, compared and shown. Nothing acts on them,
/// since there is no mesh.
enum ConfigEntries {
  private static let kinds = [
    "service-defaults", "proxy-defaults", "service-router", "service-splitter",
    "service-resolver", "ingress-gateway", "terminating-gateway", "service-intentions", "mesh",
  ]

  static func kindFault(_ kind: String) -> String? {
    kinds.contains(kind) ? nil : "invalid config entry kind: \(kind)"
  }

  /// What follows `/v1/config/`: the kind, and the name when there is a second part.
  static func parts(of path: String) -> (kind: String, name: String?) {
    let parts = path.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    let name = parts.count > 1 && !parts[1].isEmpty ? String(parts[1]) : nil
    return (parts.first.map(String.init) ?? "", name)
  }

  static func get(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    let (kind, name) = parts(of: read.text)
    if let fault = kindFault(kind) { throw .failed(fault) }
    let index = registry.configEntriesIndex
    var writer = read.writer(reserving: 512)
    guard let name else {
      writer.beginArray()
      for entry in registry.configEntries(ofKind: kind) { writer.configEntry(entry) }
      writer.endArray()
      return .json(writer).depending(on: .configEntries, index: index)
    }
    guard let entry = registry.configEntry(kind: kind, name: name) else {
      let text = "Config entry not found for \(quoted(kind)) / \(quoted(name))"
      return Answer.text(404, text).depending(on: .configEntries, index: index)
    }
    writer.configEntry(entry)
    return .json(writer).depending(on: .configEntries, index: index)
  }

  /// Kind and name, and everything else as it came. Names of fields are shown as Consul spells
  /// them: `mesh_gateway` is `MeshGateway`.
  static func parse(_ body: ArraySlice<UInt8>) throws(DecodeError) -> ConfigEntry {
    var kind = ""
    var name = ""
    var fields: [JSONMember] = []
    try BodyDecoder.object(try BodyDecoder.parse(body), "map[string]interface {}") {
      key, field throws(DecodeError) in
      switch key {
      case "kind": try field.read(&kind)
      case "name": try field.read(&name)
      case "createindex", "modifyindex", "create_index", "modify_index": break
      default:
        let member = JSONMember(name: camelCase(field.name), value: field.value)
        fields.removeAll { $0.name == member.name }
        fields.append(member)
      }
      return true
    }
    if let fault = kindFault(kind) { throw DecodeError(message: fault) }
    if kind == "service-defaults" || kind == "proxy-defaults" {
      for part in ["TransparentProxy", "MeshGateway", "Expose"]
      where !fields.contains(where: { $0.name == part }) {
        fields.append(JSONMember(name: part, value: .object([])))
      }
    }
    var writer = JSONWriter()
    writer.json(.object(fields))
    // Without the braces.
    let json = Array(writer.finish().dropFirst().dropLast())
    return ConfigEntry(kind: kind, name: kind == "mesh" ? "mesh" : name, fieldsJSON: json)
  }

  private static func camelCase(_ name: String) -> String {
    let words = name.split(separator: "_", omittingEmptySubsequences: true)
    return words.map { word in word.prefix(1).uppercased() + word.dropFirst() }.joined()
  }
}

extension JSONWriter {
  fileprivate mutating func configEntry(_ entry: ConfigEntry) {
    beginObject()
    field("Kind", entry.kind)
    if entry.kind != "mesh" { field("Name", entry.name) }
    members(entry.fieldsJSON)
    indexes(create: entry.createIndex, modify: entry.modifyIndex)
    endObject()
  }

  /// The inside of an object that was checked when it came.
  private mutating func members(_ json: [UInt8]) {
    guard !json.isEmpty,
      case .object(let members)? = try? JSONScanner.parse(([0x7B] + json + [0x7D])[...])
    else { return }
    for member in members {
      key(member.name)
      self.json(member.value)
    }
  }
}

extension ConsulAPI {
  static func configPut(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let entry: ConfigEntry
    do throws(DecodeError) {
      entry = try ConfigEntries.parse(call.request.body)
    } catch {
      throw .bad("Bad request: Request decoding failed: \(error.message)")
    }
    if entry.name.isEmpty { throw .failed("Name is required") }
    if entry.kind == "proxy-defaults", entry.name != "global" {
      throw .failed("invalid name (\(quoted(entry.name))), only \"global\" is supported")
    }
    return Proposal(command: .configSet(entry, cas: try cas(call)), reply: .flag)
  }

  static func configDelete(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let (kind, name) = ConfigEntries.parts(of: call.text)
    guard let name else {
      throw Refusal(status: 404, text: "Must provide both a kind and name to delete")
    }
    if let fault = ConfigEntries.kindFault(kind) { throw .bad(fault) }
    let cas = try cas(call)
    return Proposal(
      command: .configDelete(kind: kind, name: name, cas: cas),
      reply: cas == nil ? .body(Array("{}".utf8)) : .flag)
  }

  private static func cas(_ call: Call) throws(Refusal) -> UInt64? {
    guard let text = call.query.bytes("cas"), !text.isEmpty else { return nil }
    do {
      return try UInt64(goParsing: text)
    } catch {
      throw .bad("Bad request: Error parsing cas value: \(error.text)")
    }
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
