import Raft

/// The frame of the append that was sent last, for the next peer that gets the same.
struct SharedAppend {
  private var append: AppendEntries?
  /// Empty when it is too long for a frame.
  private var bytes: [UInt8] = []

  /// A buffer that a large append has made larger is given back.
  private static let bytesKept = 1 << 20

  /// The same entries are most often the same array, which is equal without a look at them.
  mutating func frame(of append: AppendEntries, _ limits: PeerLimits) -> [UInt8] {
    if append == self.append { return bytes }
    bytes.removeAll(keepingCapacity: true)
    self.append = append
    _ = Frame.append(.message, to: &bytes, bytesMax: limits.frameBytesMax) { writer in
      MessageCodec.encode(.append(append), into: &writer)
    }
    return bytes
  }

  /// Keeps no entries alive, and of the buffer what is of use again.
  mutating func forget() {
    guard append != nil else { return }
    append = nil
    bytes.removeAll(keepingCapacity: bytes.capacity <= Self.bytesKept)
  }
}
