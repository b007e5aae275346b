import EventLoop
import HTTP
import Node
import Registry

/// `GET /v1/stream?prefix=&service=&index=`: every change after an index as one line of JSON, as
/// long as the client stays. Not in Consul.
///
/// Happy path: the client's index is in the change log of this node, and lines follow from there,
/// with a heartbeat when nothing happens. Otherwise — history is gone, the state was replaced, the
/// client reads slower than changes come — `{"Type":"resync","Index":N}` says so, the present state
/// follows, then `{"Type":"synced","Index":N}`. Memory is bounded: a stream holds a place in the
/// shared log, or a copy of the registry while it lists the state.
final class ChangeStream<B: Backend> {
  private static var pieceBytes: Int { 64 << 10 }

  private let api: ConsulAPI<B>
  private let responder: HTTPResponder
  private let scope: StreamScope
  /// Of the next entry to be sent.
  private var position: UInt64
  /// Shown already by the listing of the state.
  private var skipThrough: UInt64 = 0
  private var listing: StateListing?
  /// A piece is on its way: the next one follows by itself.
  private var isBusy = false
  private var heartbeat: TimerID?
  private var isEnded = false

  init(_ api: ConsulAPI<B>, _ responder: HTTPResponder, _ scope: StreamScope, after index: UInt64) {
    self.api = api
    self.responder = responder
    self.scope = scope
    // Before the first entry there is: a resync.
    position = api.changeLog.sequence(after: index) ?? 0
  }

  func start() {
    api.streams.append(self)
    var head = api.response(Answer(contentType: "application/x-ndjson"))
    head.headers.append(("Cache-Control", .fixed("no-store")))
    responder.begin(head)
    responder.onClose = { [weak self] in self?.end() }
    beat()
    pump()
  }

  private func end() {
    guard !isEnded else { return }
    isEnded = true
    if let heartbeat { api.backend.cancel(heartbeat) }
    listing = nil
    responder.onDrain = nil
    api.streams.removeAll { $0 === self }
  }

  // MARK: Pieces

  /// Sends the next piece if there is one; called whenever the log has grown.
  func pump() {
    guard !isEnded, !isBusy else { return }
    guard responder.isOpen else { return end() }
    let piece = nextPiece()
    if !piece.isEmpty { send(piece) }
  }

  private func send(_ piece: [UInt8]) {
    isBusy = true
    let next: () -> Void = { [weak self] in
      guard let self else { return }
      responder.onDrain = nil
      isBusy = false
      pump()
    }
    if responder.write(piece) {
      // Other requests have their turn in between.
      _ = api.backend.schedule(after: 0, next)
    } else {
      responder.onDrain = next
    }
  }

  private func nextPiece() -> [UInt8] {
    if listing != nil { return nextOfState() }
    guard position >= api.changeLog.firstSequence else { return beginResync() }
    var piece: [UInt8] = []
    while piece.count < Self.pieceBytes, let first = api.changeLog.entry(position) {
      var group: [ChangeLog.Entry] = []
      while let entry = api.changeLog.entry(position), entry.index == first.index {
        if entry.index > skipThrough, scope.contains(entry.change) { group.append(entry) }
        position += 1
      }
      for (place, entry) in group.enumerated() {
        piece += StreamLine.change(entry, isLast: place == group.count - 1)
      }
    }
    return piece
  }

  private func beginResync() -> [UInt8] {
    let registry = api.backend.registry
    position = api.changeLog.nextSequence
    skipThrough = registry.stateIndex
    listing = StateListing(registry, scope, api.site.datacenter)
    return StreamLine.mark("resync", skipThrough)
  }

  private func nextOfState() -> [UInt8] {
    // Taken out, so that it changes in place.
    guard var state = listing.take() else { return [] }
    let piece = state.nextPiece(Self.pieceBytes)
    guard state.isComplete else {
      listing = state
      return piece
    }
    return piece + StreamLine.mark("synced", skipThrough)
  }

  /// Says up to where everything was told.
  private func beat() {
    heartbeat = api.backend.schedule(after: api.limits.heartbeatNanoseconds) { [weak self] in
      guard let self, !isEnded else { return }
      guard responder.isOpen else { return end() }
      if !isBusy, listing == nil, position == api.changeLog.nextSequence {
        send(StreamLine.mark("heartbeat", max(skipThrough, api.changeLog.coveredThrough)))
      }
      beat()
    }
  }
}

/// What a stream shows.
struct StreamScope {
  /// Keys below it; nil: no keys.
  var prefix: Key?
  /// Folded; empty: every service; nil: none.
  var service: String?

  /// Neither given: everything.
  init(_ query: QueryParameters) {
    prefix = query.bytes("prefix").map { Key(Array($0)) }
    service = query.text("service").map { foldedName($0) }
    if prefix == nil, service == nil {
      prefix = Key([UInt8]())
      service = ""
    }
  }

  func contains(_ change: ChangeLog.Change) -> Bool {
    switch change {
    case .set(let entry, _): return prefix.map { entry.key.hasPrefix($0) } ?? false
    case .deleted(let key, _): return prefix.map { key.hasPrefix($0) } ?? false
    case .tree(let tree):
      return prefix.map { tree.hasPrefix($0) || $0.hasPrefix(tree) } ?? false
    case .instance(let view, _): return contains(service: view.instance.service.name)
    case .gone(let change): return contains(service: change.service)
    }
  }

  private func contains(service name: String) -> Bool {
    service.map { $0.isEmpty || $0 == foldedName(name) } ?? false
  }
}

/// The lines of a whole state, piece by piece.
struct StateListing {
  private let registry: Registry
  private let scope: StreamScope
  private let datacenter: String
  private var nextKey: Key?
  private var services: [String] = []
  private var instances: [ServiceRecord] = []
  private(set) var isComplete = false

  init(_ registry: Registry, _ scope: StreamScope, _ datacenter: String) {
    self.registry = registry
    self.scope = scope
    self.datacenter = datacenter
    nextKey = scope.prefix
    if let service = scope.service {
      services = service.isEmpty ? registry.services().map(\.name).reversed() : [service]
    }
  }

  mutating func nextPiece(_ bytesMax: Int) -> [UInt8] {
    var piece: [UInt8] = []
    if let prefix = scope.prefix, let start = nextKey {
      nextKey = nil
      var stopped: Key?
      registry.forEachKV(prefix: prefix, from: start) { entry in
        if piece.count >= bytesMax {
          stopped = entry.key
          return false
        }
        piece += StreamLine.set(copy entry, old: 0, isLast: true)
        return true
      }
      nextKey = stopped
      if stopped != nil { return piece }
    }
    while piece.count < bytesMax {
      if let service = instances.popLast() {
        guard let node = registry.node(named: service.node) else { continue }
        let view = ServiceHealthView(service, on: node, registry, datacenter)
        piece += StreamLine.instance(view, old: 0, index: view.newestIndex, isLast: true)
      } else if let name = services.popLast() {
        instances = registry.instances(ofService: name).reversed()
      } else {
        isComplete = true
        break
      }
    }
    return piece
  }
}

extension ServiceHealthView {
  /// Of everything that is shown of it.
  fileprivate var newestIndex: UInt64 {
    checks.reduce(max(instance.service.modifyIndex, instance.node.modifyIndex)) {
      max($0, $1.modifyIndex)
    }
  }
}

/// The lines themselves. `More`: another line of the same index follows, so a client that was cut
/// off here starts again below it.
enum StreamLine {
  static func mark(_ type: String, _ index: UInt64) -> [UInt8] {
    var writer = JSONWriter(reserving: 64)
    writer.beginObject()
    writer.field("Type", type)
    writer.field("Index", index)
    writer.endObject()
    return writer.finish() + [0x0A]
  }

  static func change(_ entry: ChangeLog.Entry, isLast: Bool) -> [UInt8] {
    switch entry.change {
    case .set(let value, let old): return set(value, old: old, isLast: isLast)
    case .deleted(let key, let old):
      return line("kv-delete", old, entry.index, isLast) { writer in
        writer.key("Key")
        writer.text(key.bytes)
      }
    case .tree(let prefix):
      return line("kv-delete-tree", 0, entry.index, isLast) { writer in
        writer.key("Key")
        writer.text(prefix.bytes)
      }
    case .instance(let view, let old):
      return instance(view, old: old, index: entry.index, isLast: isLast)
    case .gone(let change):
      return line("service-delete", change.old, entry.index, isLast) { writer in
        writer.field("Service", change.service)
        writer.field("Node", change.node)
        writer.field("ID", change.id)
      }
    }
  }

  static func set(_ entry: KVEntry, old: UInt64, isLast: Bool) -> [UInt8] {
    line("kv", old, entry.modifyIndex, isLast) { writer in
      writer.key("Key")
      writer.text(entry.key.bytes)
      writer.field("Flags", entry.flags)
      if let session = entry.session { writer.field("Session", session.description) }
      writer.key("Value")
      if entry.value.isEmpty { writer.null() } else { writer.base64(entry.value) }
    }
  }

  static func instance(
    _ view: ServiceHealthView, old: UInt64, index: UInt64, isLast: Bool
  ) -> [UInt8] {
    line("service", old, index, isLast) { writer in
      writer.field("Service", view.instance.service.name)
      writer.field("Node", view.instance.node.name)
      writer.field("ID", view.instance.service.id)
      writer.key("Instance")
      writer.serviceHealth(view)
    }
  }

  private static func line(
    _ type: String, _ old: UInt64, _ index: UInt64, _ isLast: Bool,
    _ body: (inout JSONWriter) -> Void
  ) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.field("Type", type)
    writer.field("OldIndex", old)
    writer.field("Index", index)
    if !isLast { writer.field("More", true) }
    body(&writer)
    writer.endObject()
    return writer.finish() + [0x0A]
  }
}

extension ConsulAPI {
  static func stream(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    let options = try api.options(call.query, call.request, blocks: true)
    let scope = StreamScope(call.query)
    let responder = call.responder
    guard api.streams.count < api.limits.streamsMax else {
      return api.respond(Answer(RequestFailure.overloaded("too many streams")), responder)
    }
    // After the barrier this node has seen whatever index another one has given out.
    api.barrier(.indexed, options, call.context) { failure in
      if let failure { return api.respond(Answer(failure), responder) }
      ChangeStream(api, responder, scope, after: options.index).start()
    }
  }

  /// The changes of one apply pass.
  func note(_ changes: ChangeSet) {
    changeLog.note(changes, backend.registry, datacenter: site.datacenter)
    for stream in streams { stream.pump() }
  }
}
