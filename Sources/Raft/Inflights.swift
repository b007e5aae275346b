/// The window of AppendEntries sent to one follower and not yet answered, oldest first.
///
/// Bounded by `RaftOptions.inflightMessagesMax` and `inflightBytesMax`; when it is full, the
/// leader waits for an answer before it sends more.
struct Inflights: Equatable, Sendable {
  private struct Sent: Equatable, Sendable {
    var lastIndex: LogIndex
    var bytes: Int
  }
  private var sent: [Sent] = []
  /// Position of the oldest in `sent`; those before it are answered.
  private var head = 0
  private(set) var bytes = 0

  var count: Int { sent.count - head }
  var isEmpty: Bool { count == 0 }

  func isFull(_ options: RaftOptions) -> Bool {
    count >= options.inflightMessagesMax || bytes >= options.inflightBytesMax
  }

  mutating func add(lastIndex: LogIndex, bytes: Int) {
    sent.append(Sent(lastIndex: lastIndex, bytes: bytes))
    self.bytes += bytes
  }

  /// Everything through `index` is answered. One answer may stand for several messages.
  mutating func free(through index: LogIndex) {
    while head < sent.count, sent[head].lastIndex <= index {
      bytes -= sent[head].bytes
      head += 1
    }
    if head == sent.count {
      sent.removeAll(keepingCapacity: true)
      head = 0
    } else if head >= 64 {
      sent.removeSubrange(..<head)
      head = 0
    }
  }

  mutating func removeAll() {
    sent.removeAll(keepingCapacity: true)
    head = 0
    bytes = 0
  }
}
