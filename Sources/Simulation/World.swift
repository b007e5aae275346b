import Basics
import Raft

/// One life of one node; what was meant for an earlier life does not reach a later one.
struct Process: Equatable {
  var node: Int
  var incarnation: UInt64
}

/// Everything that can happen at a moment of virtual time.
enum Event {
  case tick(Process)
  /// What clients asked for in a while is proposed or asked for as one batch.
  case turn(Process)
  case deliver(from: Int, to: Int, Packet)
  /// The end of a turn: what Raft asks for is done.
  case obey(Process)
  case diskDone(Process)
  /// The disk was full: what waits for it is tried again.
  case diskRetry(Process)
  case snapshotWritten(Process)
  case chunkWritten(Process)
  case snapshotRead(Process, SnapshotRead)
  case link(Process, peer: NodeID, isUp: Bool)
  case restart(Process)
  case request(node: Int, Request)
  case reply(client: Int, attempt: UInt64, Reply)
  case clientTimeout(client: Int, attempt: UInt64)
  case clientNext(client: Int)
  /// A watcher looks what there is for it.
  case watch(watcher: Int)
  case nemesis
  /// Nodes whose disks were lost look for their place in the cluster.
  case repair
  case phase(Phase)
}

/// A run: faults, then everything is healed and must work again, then clients stop and the
/// nodes must agree.
enum Phase: Equatable {
  case faults
  case healed
  case quiet
  case over
}

/// The clock, the queue of what is to come and the only source of randomness of a run.
/// Times are microseconds of virtual time.
struct World {
  private(set) var now: UInt64 = 0
  /// Grows with every event: a total order of all that happens, for histories.
  private(set) var step: UInt64 = 0
  var random: SplitMix
  private var queue = EventQueue()

  init(seed: UInt64) { random = SplitMix(seed: seed) }

  mutating func schedule(_ event: Event, after delay: UInt64) {
    queue.push(event, at: now + delay)
  }

  mutating func schedule(_ event: Event, at time: UInt64) {
    queue.push(event, at: max(now, time))
  }

  /// Moves the clock to the next event and takes it.
  mutating func next() -> Event? {
    guard let (time, event) = queue.pop() else { return nil }
    now = time
    step += 1
    return event
  }

  /// A moment that counts as later than all before, within one event too.
  mutating func moment() -> UInt64 {
    step += 1
    return step
  }

  mutating func chance(permille: UInt64) -> Bool {
    permille > 0 && random.chance(permille, in: 1000)
  }

  /// A number in `range`, both ends included.
  mutating func number(_ range: ClosedRange<UInt64>) -> UInt64 {
    range.lowerBound + random.below(range.upperBound - range.lowerBound + 1)
  }

  mutating func index(below count: Int) -> Int { Int(random.below(UInt64(count))) }
}

/// A binary heap by time, then by order of arrival. Events stay in place in a table while the
/// heap moves small keys around.
struct EventQueue {
  private struct Slot {
    var time: UInt64
    var sequence: UInt64
    var position: Int
    static func < (a: Slot, b: Slot) -> Bool {
      a.time != b.time ? a.time < b.time : a.sequence < b.sequence
    }
  }
  private var heap: [Slot] = []
  private var events: [Event?] = []
  private var free: [Int] = []
  private var sequence: UInt64 = 0

  mutating func push(_ event: Event, at time: UInt64) {
    let position: Int
    if let reused = free.popLast() {
      position = reused
      events[position] = event
    } else {
      position = events.count
      events.append(event)
    }
    sequence += 1
    heap.append(Slot(time: time, sequence: sequence, position: position))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child] < heap[parent] else { break }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func pop() -> (time: UInt64, event: Event)? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    if !heap.isEmpty {
      heap[0] = last
      siftDown()
    }
    free.append(first.position)
    guard let event = events[first.position].take() else { return nil }
    return (first.time, event)
  }

  private mutating func siftDown() {
    var parent = 0
    while true {
      var smallest = parent
      for child in [2 * parent + 1, 2 * parent + 2]
      where child < heap.count && heap[child] < heap[smallest] { smallest = child }
      guard smallest != parent else { return }
      heap.swapAt(smallest, parent)
      parent = smallest
    }
  }
}
