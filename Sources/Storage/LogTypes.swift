package import Raft

/// What the log held when it was opened; all of it is durable.
package struct RecoveredLog: Sendable {
  package var hardState: HardState
  /// Contiguous; the first follows the snapshot given to `Log.open`, or is entry 1.
  package var entries: [Entry]
  /// Bytes of a torn tail that were cut off; 0 when the log ended cleanly.
  package var tornBytes: Int

  package init(hardState: HardState, entries: [Entry], tornBytes: Int) {
    self.hardState = hardState
    self.entries = entries
    self.tornBytes = tornBytes
  }
}

/// One write: durable as a whole or not acknowledged. One record of the log holds one batch, so
/// a crash keeps all of it or nothing.
package struct LogBatch: Equatable, Sendable {
  package var hardState: HardState?
  package var entries: [Entry]
  /// Needs fdatasync before it may be acknowledged (false: only a commit index).
  package var mustSync: Bool
  package init(hardState: HardState?, entries: [Entry], mustSync: Bool) {
    self.hardState = hardState
    self.entries = entries
    self.mustSync = mustSync
  }
}

package struct LogOptions: Sendable {
  /// A smaller segment is recycled sooner, a larger one is prepared less often.
  package var segmentBytes = 16 << 20
  /// Zero-filled segments kept ready for use. They are the reserve for a full disk as well.
  package var spareSegments = 1
  package init() {}

  /// Below this a segment cannot hold its header and a hard state.
  static let segmentBytesMin = 1024
  /// One batch; far above what the peer protocol lets in (64 MB), below what `UInt32` can say.
  static let recordBytesMax = 1 << 30
  /// What a disk writes, or loses, as a whole.
  static let sectorBytes = 512
  /// A buffer that a huge batch has made larger is given back.
  static let bufferBytesKept = 4 << 20
  /// Recycled segments kept beyond `spareSegments`: compaction frees several at once.
  static let recycledExtra = 2
  /// The end of each segment that only hard states may use, so that a node whose disk is full
  /// can still vote about a thousand times.
  var hardStateReserve: Int { min(64 << 10, segmentBytes / 16) }
}
