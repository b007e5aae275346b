import Basics
import Wire

/// From the bytes of a command to its outcome.
extension Registry {
  /// Applies one encoded `CommandEnvelope`. `index` must grow. Bytes that do not decode are
  /// refused deterministically and change nothing. Adds to `changes`.
  package mutating func apply(
    _ payload: [UInt8], index: UInt64, changes: inout ChangeSet
  ) -> Outcome {
    var context = ApplyContext()
    // Moved in and out, so that its arrays are never shared.
    swap(&context.changes, &changes)
    defer { swap(&context.changes, &changes) }
    return apply(payload, index: index, in: &context)
  }

  /// The same as one of many: what it touched is added to the context's changes.
  package mutating func apply(
    _ payload: [UInt8], index: UInt64, in context: inout ApplyContext
  ) -> Outcome {
    invariant(index > lastIndex, "apply of index \(index) after \(lastIndex)")
    lastIndex = index
    context.index = index &+ indexOffset
    context.time = 0
    let outcome = decodeAndApply(payload, &context)
    runningHash = mix(mix(runningHash, index), UInt64(Checksum.crc32c(payload)))
    runningHash = mix(runningHash, outcome.fingerprint)
    return outcome
  }

  private mutating func decodeAndApply(
    _ payload: [UInt8], _ context: inout ApplyContext
  ) -> Outcome {
    do {
      var reader = Reader(payload)
      let header = try CommandEnvelope.Header(from: &reader)
      guard let stamp = header.origin else { return try apply(header, &reader, &context) }
      if case .repeated(let first) = origins.judge(stamp, index: context.index) { return first }
      let outcome = try apply(header, &reader, &context)
      origins.remember(stamp, outcome, index: context.index)
      return outcome
    } catch {
      let text = "raft apply failed: cannot decode the command: \(error)"
      return .refused(Refusal(status: 500, text: text))
    }
  }

  private mutating func apply(
    _ header: CommandEnvelope.Header, _ reader: inout Reader, _ context: inout ApplyContext
  ) throws(WireError) -> Outcome {
    let tag = try CommandTag(from: &reader)
    context.time = header.time
    if staged != nil { dropIdleRestore(time: header.time) }
    // The command most applied stays out of the enum, whose cases are large.
    if tag == .kvSet {
      let command = try KVSet(from: &reader)
      try reader.finish()
      return once(header, &context) { registry, context in
        registry.set(command, &context)
      }
    }
    let command = try Command(tag: tag, from: &reader)
    try reader.finish()
    return once(header, &context) { registry, context in
      registry.perform(command, &context)
    }
  }

  private mutating func once(
    _ header: CommandEnvelope.Header, _ context: inout ApplyContext,
    _ body: (inout Registry, inout ApplyContext) -> Outcome
  ) -> Outcome {
    guard let requestID = header.requestID else { return body(&self, &context) }
    if let first = remembered[requestID] { return first.outcome }
    if let floor = header.floor, floor < forgottenThrough { return .refused(.requestForgotten) }
    let outcome = body(&self, &context)
    remember(requestID, outcome, index: context.index)
    return outcome
  }

  private mutating func perform(_ command: Command, _ context: inout ApplyContext) -> Outcome {
    switch command {
    case .kvSet(let set): return self.set(set, &context)
    case .kvDelete(let key, let cas): return .flag(delete(key, cas: cas, &context))
    case .kvDeleteTree(let prefix):
      deleteTree(prefix, &context)
      return .flag(true)
    case .checkUpdate(let update):
      do {
        try updateCheck(update, &context)
        return .done
      } catch {
        return .refused(error)
      }
    case .sessionDestroy(let id):
      destroySession(id, &context)
      return .done
    case .transaction(let operations):
      return .transaction(transaction(operations, &context))
    case .reapTombstones(let through):
      reapTombstones(through: through)
      return .done
    case .configSet(let entry, let cas): return .flag(setConfigEntry(entry, cas: cas, &context))
    case .configDelete(let kind, let name, let cas):
      return .flag(deleteConfigEntry(kind: kind, name: name, cas: cas, &context))
    case .autopilotSet(let settings, let cas):
      return .flag(setAutopilot(settings, cas: cas, &context))
    case .eventFire(let event):
      fire(event, &context)
      return .done
    case .restoreAbort(let id):
      abortRestore(id)
      return .done
    case .cluster(let news, let replacesID):
      cluster.merge(news, replacesID: replacesID)
      return .done
    case .register(let registration) where !registration.checks.isEmpty:
      return registerWhole(registration, &context)
    default:
      do {
        try performOrRefuse(command, &context)
        return .done
      } catch {
        return .refused(error)
      }
    }
  }

  /// A check may be refused after its node and service went in: works on a copy, adopted at the
  /// end.
  private mutating func registerWhole(
    _ registration: Registration, _ context: inout ApplyContext
  ) -> Outcome {
    var draft = self
    var draftContext = ApplyContext(index: context.index, time: context.time, changes: ChangeSet())
    do {
      try draft.register(registration, &draftContext)
    } catch {
      return .refused(error)
    }
    self = draft
    context.changes.merge(draftContext.changes)
    return .done
  }

  /// These throw, if at all, before their first change.
  private mutating func performOrRefuse(
    _ command: Command, _ context: inout ApplyContext
  ) throws(Refusal) {
    switch command {
    case .register(let registration): try register(registration, &context)
    case .deregister(let node, let serviceID, let checkID):
      guard !node.isEmpty else { throw Refusal(status: 500, text: "Must provide node") }
      deregister(node: node, serviceID: serviceID, checkID: checkID, &context)
    case .agentRegister(let registration): try agentRegister(registration, &context)
    case .agentDeregister(let serviceID, let onlyIf):
      agentDeregister(serviceID: serviceID, onlyIf: onlyIf, &context)
    case .agentCheckRegister(let check, let host):
      try agentCheckRegister(check, host: host, &context)
    case .agentCheckDeregister(let checkID, let host):
      agentCheckDeregister(checkID: checkID, host: host, &context)
    case .maintenance(let host, let serviceID, let enable, let reason):
      try setMaintenance(
        host: host, serviceID: serviceID, enable: enable, reason: reason, &context)
    case .hostJoin(let host): try hostJoin(host, &context)
    case .hostDown(let host, let liveHosts): hostDown(host, liveHosts: liveHosts, &context)
    case .hostLeave(let host, let liveHosts): hostLeave(host, liveHosts: liveHosts, &context)
    case .sessionCreate(let session): try createSession(session, &context)
    case .querySet(let query, let isNew): try setQuery(query, isNew: isNew, &context)
    case .queryDelete(let id): try deleteQuery(id, &context)
    case .restoreChunk(let chunk): try stage(chunk, &context)
    case .restoreCommit(let id, let bytes, let checksum):
      try commitRestore(id, bytes: bytes, checksum: checksum, &context)
    case .kvSet, .kvDelete, .kvDeleteTree, .checkUpdate, .sessionDestroy, .transaction,
      .reapTombstones, .configSet, .configDelete, .autopilotSet, .eventFire, .restoreAbort,
      .cluster:
      invariant(false, "\(command.tag) is performed by its caller")
    }
  }
}

extension Outcome {
  /// For the running hash; the common outcomes without a buffer.
  var fingerprint: UInt64 {
    switch self {
    case .done: return 1
    case .flag(let value): return value ? 3 : 2
    case .refused, .transaction:
      var writer = Writer()
      encode(into: &writer)
      return UInt64(Checksum.crc32c(writer.bytes)) << 8
    }
  }
}
