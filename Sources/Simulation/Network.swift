import Basics
import Raft
import Registry

/// What travels between nodes.
enum Packet {
  /// Named by ids, as connections are: after the disk was lost, another node runs there.
  case raft(Message, from: NodeID, to: NodeID)
  /// An encoded command for the leader on behalf of a node that has a client waiting.
  case forward(ForwardID, [UInt8])
  case forwardReply(ForwardID, Forwarded)
  /// The renewal of a session, to the leader and back.
  case renewal(Request)
  case renewalReply(Request, Reply)
}

/// Names a forwarded command; unique in a run.
struct ForwardID: Hashable {
  var incarnation: UInt64
  var number: UInt64
}

/// What became of a forwarded command.
enum Forwarded {
  case outcome(Outcome, index: UInt64)
  /// Nothing was done and nothing will be: it may be tried elsewhere.
  case notDone
  case unknown
}

/// All chances and times of the simulated network. Chances are per mille and per message,
/// times in microseconds.
struct NetworkOptions {
  var latency: UInt64 = 200
  var jitter: UInt64 = 300
  var loss: UInt64 = 0
  var duplication: UInt64 = 0
  /// Overtakes what was sent before it on the same link.
  var reordering: UInt64 = 0
  /// Arrives after up to `straggleMicroseconds`: after whole elections.
  var straggling: UInt64 = 0
  var straggleMicroseconds: UInt64 = 3_000_000
  /// A granted vote arrives once more, after up to `straggleMicroseconds`: when its term is long
  /// over.
  var voteEchoes: UInt64 = 0
  /// A dead process is noticed by its peers at once (their connections are reset).
  var resetsNoticed: UInt64 = 800
}

/// The links between all nodes: each direction on its own.
struct Network {
  var options: NetworkOptions
  let nodes: Int
  private var isCut: [Bool]
  /// Extra delay per direction, for slow links.
  private var extraLatency: [UInt64]
  /// When the last packet in order arrives, per direction.
  private var lastArrival: [UInt64]
  private(set) var sent: UInt64 = 0
  private(set) var lost: UInt64 = 0

  init(nodes: Int, options: NetworkOptions) {
    self.nodes = nodes
    self.options = options
    isCut = Array(repeating: false, count: nodes * nodes)
    extraLatency = Array(repeating: 0, count: nodes * nodes)
    lastArrival = extraLatency
  }

  func isCut(from: Int, to: Int) -> Bool { isCut[from * nodes + to] }
  mutating func cut(from: Int, to: Int) { isCut[from * nodes + to] = true }
  mutating func slow(from: Int, to: Int, by microseconds: UInt64) {
    extraLatency[from * nodes + to] = microseconds
  }

  mutating func heal() {
    for i in isCut.indices {
      isCut[i] = false
      extraLatency[i] = 0
    }
  }

  /// No faults from now on, only a little latency.
  mutating func calm() {
    heal()
    options.latency = min(options.latency, 300)
    options.jitter = min(options.jitter, 300)
    options.loss = 0
    options.duplication = 0
    options.reordering = 0
    options.straggling = 0
    options.voteEchoes = 0
  }

  /// Cuts every link between nodes of different sides; `sides` has one number per node.
  mutating func partition(_ sides: [Int]) {
    for from in 0..<nodes {
      for to in 0..<nodes where sides[from] != sides[to] { cut(from: from, to: to) }
    }
  }

  /// Puts `packet` on its way: it arrives no time, once or twice.
  mutating func send(_ packet: Packet, from: Int, to: Int, in world: inout World) {
    sent += 1
    let link = from * nodes + to
    guard !isCut[link], !world.chance(permille: options.loss) else {
      lost += 1
      return
    }
    let event = Event.deliver(from: from, to: to, packet)
    if case .raft = packet, world.chance(permille: options.duplication) {
      world.schedule(event, after: delay(link, &world) * 2)
    }
    if case .raft(let message, _, _) = packet, message.isVote,
      world.chance(permille: options.voteEchoes)
    {
      world.schedule(event, after: world.number(0...options.straggleMicroseconds))
    }
    if world.chance(permille: options.straggling) {
      return world.schedule(event, after: world.number(0...options.straggleMicroseconds))
    }
    let arrival = world.now + delay(link, &world)
    if world.chance(permille: options.reordering) {
      return world.schedule(event, at: arrival + delay(link, &world) * 2)
    }
    lastArrival[link] = max(lastArrival[link], arrival)
    world.schedule(event, at: lastArrival[link])
  }

  private func delay(_ link: Int, _ world: inout World) -> UInt64 {
    options.latency + extraLatency[link] + world.number(0...options.jitter)
  }
}
