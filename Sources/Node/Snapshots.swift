import EventLoop
import Peer
import Raft
import Registry
import Storage
import Wire

/// What the node needs of a `SnapshotStore`, whatever file system is below it.
protocol SnapshotStoring: AnyObject {
  func newest() throws(StorageError) -> (meta: SnapshotMeta, bytes: Int)?
  func read(
    _ meta: SnapshotMeta, _ body: ([UInt8]) throws(StorageError) -> Void
  ) throws(StorageError)
  func readTransfer(
    _ meta: SnapshotMeta, offset: UInt64, bytesMax: Int
  ) throws(StorageError) -> (data: [UInt8], totalBytes: UInt64)
  func write(
    _ meta: SnapshotMeta, _ produce: () throws(StorageError) -> [UInt8]?
  ) throws(StorageError)
  func receive(_ chunk: ReceivedChunk) throws(StorageError)
  var damaged: [StorageError] { get }
}

extension SnapshotStore: SnapshotStoring {}

/// The snapshot store behind its own worker thread.
///
/// Happy path: jobs are done one after the other, in the order given, and answer through the
/// node's mailbox; the loop never waits for any of them, so heartbeats do not either. Failures
/// come back as answers. `@unchecked`: after `init` only the one worker thread uses the store.
final class SnapshotDesk: @unchecked Sendable {
  enum Answer: Sendable {
    case written(SnapshotMeta, StorageError?)
    case piece(to: NodeID, SnapshotMeta, offset: UInt64, totalBytes: UInt64, [UInt8])
    case unavailable(to: NodeID, SnapshotMeta, StorageError)
    case loaded(SnapshotMeta, Registry)
    case rejected(SnapshotMeta, String)
  }

  private let store: any SnapshotStoring
  private let workers = Workers(threads: 1, queueMax: 1024, isBackground: true)
  private let options: Registry.Options
  private let post: @Sendable (Answer) -> Void
  /// After a failed piece the rest of that transfer is ignored. Worker thread only.
  private var rejectedTransfer: LogIndex?

  init(
    _ store: any SnapshotStoring, options: Registry.Options,
    post: @escaping @Sendable (Answer) -> Void
  ) {
    self.store = store
    self.options = options
    self.post = post
  }

  func stop(withinMilliseconds limit: Int) -> Bool { workers.stop(withinMilliseconds: limit) }

  func write(_ meta: SnapshotMeta, _ registry: Registry) -> Bool {
    workers.run { [self] in
      var encoder = registry.makeEncoder()
      do throws(StorageError) {
        try store.write(meta) { () throws(StorageError) -> [UInt8]? in encoder.next() }
        post(.written(meta, nil))
      } catch {
        post(.written(meta, error))
      }
    }
  }

  func read(_ meta: SnapshotMeta, offset: UInt64, bytesMax: Int, to: NodeID) -> Bool {
    workers.run { [self] in
      do throws(StorageError) {
        let piece = try store.readTransfer(meta, offset: offset, bytesMax: bytesMax)
        post(
          .piece(
            to: to, meta, offset: offset, totalBytes: piece.totalBytes, piece.data))
      } catch {
        post(.unavailable(to: to, meta, error))
      }
    }
  }

  /// The last piece loads the snapshot as well.
  func receive(_ chunk: ReceivedChunk) -> Bool {
    workers.run { [self] in
      if chunk.offset == 0 { rejectedTransfer = nil }
      guard rejectedTransfer != chunk.meta.index else { return }
      do throws(StorageError) {
        try store.receive(chunk)
        guard chunk.isLast else { return }
        post(.loaded(chunk.meta, try Self.load(chunk.meta, from: store, options)))
      } catch {
        rejectedTransfer = chunk.meta.index
        post(.rejected(chunk.meta, "\(error)"))
      }
    }
  }

  static func load(
    _ meta: SnapshotMeta, from store: any SnapshotStoring, _ options: Registry.Options
  ) throws(StorageError) -> Registry {
    var decoder = SnapshotDecoder(options: options)
    func damaged(_ error: WireError) -> StorageError {
      .damaged(
        file: "snapshot \(meta.index)", offset: 0, reason: "its contents do not decode: \(error)")
    }
    try store.read(meta) { (piece) throws(StorageError) in
      do throws(WireError) { try decoder.feed(piece) } catch { throw damaged(error) }
    }
    do throws(WireError) { return try decoder.finish() } catch { throw damaged(error) }
  }
}

/// Where this node stands with its snapshots.
struct SnapshotState {
  /// The newest two that are durable, newest first.
  var kept: [SnapshotMeta] = []
  var isWriting = false
  /// When a piece of the older one was last asked for: it is not replaced while it is being sent.
  var olderReadAt: UInt64 = 0
  var startedAt: UInt64 = 0
  /// After a failure the disk is left alone for a while.
  var notBefore: UInt64 = 0

  static let pinNanoseconds: UInt64 = 5_000_000_000
  static let retryNanoseconds: UInt64 = 10_000_000_000
  /// Log that is written since the last snapshot.
  static let logBytesMax = 64 << 20

  func meta(_ index: LogIndex?) -> SnapshotMeta? {
    guard let index else { return kept.first }
    return kept.first { $0.index == index }
  }

  mutating func add(_ meta: SnapshotMeta) {
    kept.removeAll { $0.index == meta.index }
    kept.append(meta)
    kept.sort { $0.index > $1.index }
    if kept.count > 2 { kept.removeLast() }
  }
}

extension Node {
  /// At the end of a turn: time for a snapshot?
  func takeSnapshotIfDue() {
    guard !snapshots.isWriting, phase == .running || phase == .joining else { return }
    let last = raft.snapshotMeta?.index.value ?? 0
    let applied = raft.lastApplied.value
    guard
      applied - min(applied, last) >= UInt64(max(1, configuration.raft.snapshotAfterEntries))
        || (logBytesSinceSnapshot >= SnapshotState.logBytesMax && applied > last)
    else { return }
    takeSnapshot()
  }

  /// A copy of the registry costs nothing; a worker encodes and writes it.
  func takeSnapshot() {
    let index = raft.lastApplied
    guard !snapshots.isWriting, loop.now >= snapshots.notBefore,
      index > raft.snapshotMeta?.index ?? .zero,
      snapshots.kept.count < 2
        || loop.now >= snapshots.olderReadAt + SnapshotState.pinNanoseconds
        || snapshots.olderReadAt == 0,
      let term = raft.term(at: index)
    else { return }
    let (members, membersIndex) = raft.configuration(at: index)
    let meta = SnapshotMeta(
      index: index, term: term, configuration: members, configurationIndex: membersIndex)
    snapshots.startedAt = loop.now
    logBytesSinceSnapshot = 0
    snapshots.isWriting = desk.write(meta, registry)
  }

  func obeySnapshots(_ effects: borrowing Effects) {
    for read in effects.snapshotReads { serve(read) }
    for chunk in effects.snapshotChunks where !desk.receive(chunk) {
      raft.step(.snapshotRejected(index: chunk.meta.index), into: &self.effects)
    }
    if let index = effects.compactedThrough { writer.compact(through: index) }
  }

  private func serve(_ read: SnapshotRead) {
    guard let meta = snapshots.meta(read.index) else {
      // None yet, or replaced: a fresh one is on its way, or is taken now.
      if snapshots.kept.isEmpty { takeSnapshot() }
      return raft.step(.snapshotUnavailable(to: read.to), into: &effects)
    }
    if meta.index != snapshots.kept.first?.index { snapshots.olderReadAt = loop.now }
    if !desk.read(meta, offset: read.offset, bytesMax: read.bytesMax, to: read.to) {
      raft.step(.snapshotUnavailable(to: read.to), into: &effects)
    }
  }

  func receive(_ answer: SnapshotDesk.Answer) {
    switch answer {
    case .written(let meta, let error): snapshotWritten(meta, error)
    case .piece(let to, let meta, let offset, let totalBytes, let data):
      if meta.index != snapshots.kept.first?.index { snapshots.olderReadAt = loop.now }
      raft.step(
        .snapshotData(to: to, meta: meta, offset: offset, totalBytes: totalBytes, data),
        into: &effects)
    case .unavailable(let to, let meta, let error):
      logger.log(
        .warning, "snapshot", "a snapshot cannot be read: \(error)",
        [("index", meta.index.description)])
      raft.step(.snapshotUnavailable(to: to), into: &effects)
    case .loaded(let meta, let loaded): snapshotLoaded(meta, loaded)
    case .rejected(let meta, let reason):
      logger.log(
        .warning, "snapshot", "a received snapshot is refused and asked for again: \(reason)",
        [("index", meta.index.description)])
      raft.step(.snapshotRejected(index: meta.index), into: &effects)
    }
  }

  private func snapshotWritten(_ meta: SnapshotMeta, _ error: StorageError?) {
    snapshots.isWriting = false
    if let error {
      snapshots.notBefore = loop.now + SnapshotState.retryNanoseconds
      logger.log(
        .error, "snapshot", "no snapshot could be written, the log keeps growing: \(error)",
        [("index", meta.index.description)])
      return
    }
    snapshots.add(meta)
    let milliseconds = (loop.now - min(loop.now, snapshots.startedAt)) / 1_000_000
    logger.log(
      .info, "snapshot", "snapshot written",
      [("index", meta.index.description), ("ms", String(milliseconds))])
    metrics.increment(counters.snapshots)
    // One that was installed meanwhile may be newer.
    guard meta.index > raft.snapshotMeta?.index ?? .zero else { return }
    raft.step(.compacted(meta), into: &effects)
  }

  private func snapshotLoaded(_ meta: SnapshotMeta, _ loaded: Registry) {
    snapshots.add(meta)
    guard meta.index > raft.lastApplied else { return }
    // What was handed out before belongs to the old log, and must reach the disk before it goes.
    obey()
    raft.step(.snapshotInstalled(meta), into: &effects)
    guard raft.lastApplied == meta.index else { return }
    registry = loaded
    transport.persistedIndex = meta.index.value
    logBytesSinceSnapshot = 0
    changes.everything = true
    logger.log(
      .info, "snapshot", "snapshot of the leader installed", [("index", meta.index.description)])
  }
}
