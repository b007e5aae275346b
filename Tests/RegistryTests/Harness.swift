import Basics
import Testing

@testable import Registry

/// A registry with the log that led to it. A class, since `#expect` calls nothing that mutates.
final class Harness {
  var registry: Registry
  var index: UInt64 = 0
  var time: UInt64 = 1_000_000
  var changes = ChangeSet()
  var log: [[UInt8]] = []

  init(options: Registry.Options = Registry.Options()) { registry = Registry(options: options) }

  /// Goes on with another registry in the same state.
  init(_ other: Harness, with registry: Registry) {
    self.registry = registry
    index = other.index
    time = other.time
  }

  /// Applies at the next index; `changes` then holds those of this command only.
  @discardableResult
  func apply(_ command: Command, requestID: UniqueID? = nil) -> Outcome {
    apply(
      bytes: CommandEnvelope(time: time, requestID: requestID, command: command).encoded())
  }

  @discardableResult
  func apply(bytes: [UInt8]) -> Outcome {
    index += 1
    log.append(bytes)
    changes.removeAll()
    return registry.apply(bytes, index: index, changes: &changes)
  }

  @discardableResult
  func put(
    _ key: String, _ value: String = "v", flags: UInt64 = 0, mode: KVSet.Mode = .plain
  ) -> Outcome {
    apply(.kvSet(KVSet(key: Key(key), value: Array(value.utf8), flags: flags, mode: mode)))
  }

  @discardableResult
  func delete(_ key: String, cas: UInt64? = nil) -> Outcome {
    apply(.kvDelete(key: Key(key), cas: cas))
  }

  @discardableResult
  func node(_ name: String, address: String = "10.0.0.1", id: String = "") -> Outcome {
    var node = NodeRecord(name: name, address: address)
    node.id = id
    return apply(.register(Registration(node: node)))
  }

  @discardableResult
  func service(
    _ node: String, _ id: String, _ name: String, tags: [String] = [], port: Int = 80,
    checks: [CheckRecord] = []
  ) -> Outcome {
    var registration = Registration(node: NodeRecord(name: node, address: "10.0.0.1"))
    registration.skipNodeUpdate = true
    var service = ServiceRecord(node: node, id: id, name: name)
    service.tags = tags
    service.port = port
    registration.service = service
    registration.checks = checks
    return apply(.register(registration))
  }

  @discardableResult
  func check(
    _ node: String, _ id: String, status: String = "passing", serviceID: String = ""
  ) -> Outcome {
    var registration = Registration(node: NodeRecord(name: node, address: ""))
    registration.skipNodeUpdate = true
    var check = CheckRecord(node: node, id: id, name: id)
    check.status = status
    check.serviceID = serviceID
    registration.checks = [check]
    return apply(.register(registration))
  }

  @discardableResult
  func session(
    _ number: UInt64, node: String = "n1", checks: [String] = [], lockDelay: Int64 = 0,
    behavior: SessionBehavior = .release
  ) -> Outcome {
    var record = SessionRecord(id: id(number), node: node)
    record.nodeChecks = checks
    record.lockDelay = lockDelay
    record.behavior = behavior
    return apply(.sessionCreate(record))
  }

  @discardableResult
  func join(_ name: String, address: String = "10.0.0.1") -> Outcome {
    apply(
      .hostJoin(HostRegistration(node: NodeRecord(name: name, address: address), port: 8300)))
  }

  @discardableResult
  func agent(
    _ host: String, _ id: String, checks: [CheckRecord] = [], replace: Bool = false,
    tags: [String] = [], address: String = ""
  ) -> Outcome {
    var service = ServiceRecord(node: "", id: id, name: "web")
    service.tags = tags
    service.address = address
    return apply(
      .agentRegister(
        AgentRegistration(
          host: host, service: service, checks: checks, replaceExistingChecks: replace)))
  }

  func id(_ number: UInt64) -> UniqueID { UniqueID(high: 0, low: number) }

  /// The keys with their values as text.
  var contents: [String] {
    var result: [String] = []
    registry.forEachKV(prefix: Key("")) { entry in
      result.append(entry.key.text + "=" + String(decoding: entry.value, as: UTF8.self))
      return true
    }
    return result
  }

  /// Encodes and decodes, fed in pieces of `step` bytes.
  func restored(step: Int = 1000) throws -> Registry {
    var encoder = registry.makeEncoder()
    var bytes: [UInt8] = []
    while let piece = encoder.next() { bytes += piece }
    var decoder = SnapshotDecoder(options: registry.options)
    for start in stride(from: 0, to: bytes.count, by: step) {
      try decoder.feed(Array(bytes[start..<min(start + step, bytes.count)]))
    }
    return try decoder.finish()
  }
}

func refusal(_ outcome: Outcome) -> String? {
  if case .refused(let refusal) = outcome { "\(refusal.status) \(refusal.text)" } else { nil }
}

func ttlCheck(_ id: String, status: String = "critical") -> CheckRecord {
  var check = CheckRecord(node: "", id: id, name: id)
  check.definition.ttl = 10_000_000_000
  check.type = "ttl"
  check.status = status
  return check
}
