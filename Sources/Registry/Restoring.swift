import Wire

/// One piece of a state that is to replace the present one.
package struct RestoreChunk: Equatable, Sendable {
  package var id: UniqueID
  /// Of all pieces before it.
  package var offset: UInt64
  package var bytes: [UInt8]
  package init(id: UniqueID, offset: UInt64, bytes: [UInt8]) {
    self.id = id
    self.offset = offset
    self.bytes = bytes
  }
}

/// A state on its way in: `/v1/snapshot` cuts an archive's state into `restoreChunk` commands, and
/// `restoreCommit` puts it in place of the present one, on every node in the same apply.
///
/// Happy path: each piece is kept as it came (that is what a snapshot of this registry holds) and
/// decoded at once, so that the commit has nothing left to do that takes long. Failures: a piece
/// that does not follow the last one, does not decode, or belongs to another restore is refused; a
/// restore that hears nothing for a minute, or is aborted, is dropped. The present state is
/// untouched until the commit, and the commit changes everything or nothing.
struct StagedRestore: Sendable {
  /// Beyond it a restore is refused.
  static let bytesMax: UInt64 = 2 << 30
  /// Nothing came for so long (ms): whoever sent the pieces has given up.
  static let idleMax: UInt64 = 60_000

  let id: UniqueID
  var chunks: [[UInt8]] = []
  var bytes: UInt64 = 0
  var checksum: UInt32 = 0
  /// When the last piece was applied, on the leader's clock.
  var time: UInt64
  /// One element: a registry within a registry has to be behind a reference. Empty when a piece did
  /// not decode.
  private var decoder: [SnapshotDecoder]

  init(id: UniqueID, time: UInt64, options: Registry.Options) {
    self.id = id
    self.time = time
    decoder = [SnapshotDecoder(options: options, isNested: true)]
  }

  /// False when the bytes cannot be part of a state.
  mutating func append(_ chunk: [UInt8]) -> Bool {
    guard !decoder.isEmpty, UInt64(chunk.count) <= Self.bytesMax - bytes else { return false }
    do {
      try decoder[0].feed(chunk)
    } catch {
      decoder = []
      return false
    }
    chunks.append(chunk)
    bytes += UInt64(chunk.count)
    checksum = Checksum.crc32c(chunk, continuing: checksum)
    return true
  }

  consuming func finish() throws(WireError) -> Registry {
    guard let decoder = decoder.first else { throw .truncated }
    return try decoder.finish()
  }
}

extension Registry {
  mutating func stage(_ chunk: RestoreChunk, _ context: inout ApplyContext) throws(Refusal) {
    if chunk.offset == 0, staged == nil {
      staged = StagedRestore(id: chunk.id, time: context.time, options: options)
    }
    guard staged?.id == chunk.id else {
      throw Self.restoreRefusal(
        staged == nil ? "it was dropped in between" : "another restore is under way")
    }
    guard staged?.bytes == chunk.offset else {
      throw Self.restoreRefusal("its pieces are out of order")
    }
    staged?.time = context.time
    guard staged?.append(chunk.bytes) == true else {
      staged = nil
      throw Self.restoreRefusal("the state does not decode")
    }
  }

  private static func restoreRefusal(_ reason: String) -> Refusal {
    Refusal(status: 500, text: "failed to restore snapshot: \(reason); the state is as it was")
  }

  /// Called before every command with its time.
  mutating func dropIdleRestore(time: UInt64) {
    guard let since = staged?.time, time > since, time - since > StagedRestore.idleMax else {
      return
    }
    staged = nil
  }

  mutating func abortRestore(_ id: UniqueID) {
    if staged?.id == id { staged = nil }
  }

  /// The staged state takes the place of this one. What belongs to the log and not to the state
  /// stays: the index, the running hash, and which requests were answered already.
  mutating func commitRestore(
    _ id: UniqueID, bytes: UInt64, checksum: UInt32, _ context: inout ApplyContext
  ) throws(Refusal) {
    guard staged?.id == id, let ready = staged.take() else {
      throw Self.restoreRefusal("it was dropped in between")
    }
    guard ready.bytes == bytes, ready.checksum == checksum else {
      throw Self.restoreRefusal("its pieces are not what was sent")
    }
    var restored: Registry
    do {
      restored = try ready.finish()
    } catch {
      throw Self.restoreRefusal("the state does not decode: \(error)")
    }
    let (newest, overflow) = restored.lastIndex.addingReportingOverflow(restored.indexOffset)
    guard !overflow, newest < 1 << 62 else { throw Self.restoreRefusal("its index is too large") }
    // Later changes must have larger indexes than everything that is restored, or those who wait
    // for a change would not see it.
    restored.indexOffset = max(indexOffset, newest > lastIndex ? newest - lastIndex : 0)
    restored.lastIndex = lastIndex
    restored.runningHash = runningHash
    restored.origins = origins
    restored.cluster = cluster
    restored.remembered = remembered
    restored.rememberedOrder = rememberedOrder
    restored.rememberedBytes = rememberedBytes
    restored.forgottenThrough = forgottenThrough
    self = restored
    context.changes.everything = true
    context.changes.agentWorkChanged = true
    context.changes.sessionsChanged = true
  }

  /// Bytes of a restore under way.
  package var stagedBytes: UInt64 { staged?.bytes ?? 0 }
}
