import HTTP
import Node
import Registry

/// `/v1/coordinate/…` (consul-api.md 15): there is no gossip, so every node is where every other is.
enum Coordinates {
  static func nodes(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    var writer = read.writer(reserving: 1024)
    writer.beginArray()
    for node in registry.nodes() where node.isHost { writer.nodeCoordinate(node.name) }
    writer.endArray()
    return .json(writer).depending(on: .nodes, index: registry.nodesIndex)
  }

  static func node(_ read: Read, _ registry: Registry, _ site: Site) throws(Refusal) -> Answer {
    guard let node = registry.node(named: read.text), node.isHost else {
      return Answer.notFound.depending(on: .nodes, index: registry.nodesIndex)
    }
    var writer = read.writer()
    writer.beginArray()
    writer.nodeCoordinate(node.name)
    writer.endArray()
    return .json(writer).depending(on: .nodes, index: registry.nodesIndex)
  }
}

extension ConsulAPI {
  static func coordinateDatacenters(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var writer = call.writer(reserving: 512)
    writer.beginArray()
    writer.beginObject()
    writer.field("Datacenter", api.site.datacenter)
    writer.field("AreaID", "wan")
    writer.key("Coordinates")
    writer.beginArray()
    for member in api.backend.status.members { writer.nodeCoordinate(member.name) }
    writer.endArray()
    writer.endObject()
    writer.endArray()
    return .json(writer)
  }

  /// Taken and not kept, since nothing is sorted by it.
  static func coordinateUpdate(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    do {
      _ = try BodyDecoder.parse(call.request.body)
    } catch {
      throw Refusal(error)
    }
    return .empty
  }
}

extension JSONWriter {
  fileprivate mutating func nodeCoordinate(_ name: String) {
    beginObject()
    field("Node", name)
    field("Segment", "")
    key("Coord")
    coordinate()
    endObject()
  }

  /// The coordinate of a node that has not been measured.
  mutating func coordinate() {
    beginObject()
    key("Vec")
    beginArray()
    for _ in 0..<8 { value(0) }
    endArray()
    key("Error")
    value(1.5)
    field("Adjustment", 0)
    key("Height")
    value(1e-05)
    endObject()
  }
}
