import Basics
import EventLoop
import Glibc
import HTTP
import Harness
import Peer
import Raft
import Registry
import Storage
import Testing
import Wire

@testable import Node

/// What this thread has computed: for bounds of cost, which waiting for a busy machine must not break.
func threadCPUNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Whole nodes on one event loop, in one thread: a cluster in a test. Each has an address of its
/// own on 127.0.0.1 and a disk in memory that survives the node.
final class Cluster {
  struct Place {
    var name: String
    var port: Int
    var files: MemoryFileSystem
    var node: Node?
  }

  let loop: EventLoop
  private(set) var places: [Place] = []
  var configure: (inout NodeConfiguration) -> Void
  private let clusterName: String

  init(
    _ count: Int, configure: @escaping (inout NodeConfiguration) -> Void = { _ in }
  ) throws {
    loop = try EventLoop()
    self.configure = configure
    clusterName = "test\(UInt32.random(in: 0 ... .max))"
    for port in try Ports.take(count) { addPlace(Int(port)) }
  }

  private func addPlace(_ port: Int) {
    places.append(
      Place(name: "node\(places.count + 1)", port: port, files: MemoryFileSystem(), node: nil))
  }

  func configuration(_ index: Int) -> NodeConfiguration {
    var result = NodeConfiguration(nodeName: places[index].name)
    result.cluster = clusterName
    result.ports.peer = places[index].port
    result.members = places.prefix(initialCount).map {
      NodeConfiguration.MemberAddress(name: $0.name, peer: "127.0.0.1:\($0.port)")
    }
    result.logLevel = Self.isVerbose ? .debug : .error
    configure(&result)
    return result
  }

  static var isVerbose: Bool { unsafe getenv("ROOST_TEST_LOG") != nil }

  private var initialCount: Int { max(1, places.count - joined) }
  private var joined = 0

  @discardableResult
  func start(_ index: Int) throws -> Node {
    try start(index, configuration(index), files: places[index].files)
  }

  @discardableResult
  func start<Files: FileSystem & Sendable>(
    _ index: Int, _ configuration: NodeConfiguration, files: Files
  ) throws -> Node {
    let node = try Node(
      configuration: configuration, loop: loop, files: files, root: "data",
      logOptions: .inMemory)
    places[index].node = node
    node.start()
    return node
  }

  func startAll() throws { for index in places.indices { try start(index) } }

  /// A place for one more node, which knows only whom to ask.
  func startJoining(at address: String? = nil) throws -> Node {
    addPlace(Int(try Ports.take(1)[0]))
    joined += 1
    let index = places.count - 1
    var own = configuration(index)
    own.members = []
    own.join = [address ?? "127.0.0.1:\(places[0].port)"]
    return try start(index, own, files: places[index].files)
  }

  /// As if the process was killed: nothing is said, nothing is finished.
  func kill(_ index: Int) {
    places[index].node?.close()
    places[index].node = nil
  }

  func wipe(_ index: Int) { places[index].files = MemoryFileSystem() }

  subscript(index: Int) -> Node {
    guard let node = places[index].node else { fatalError("node \(index) is down") }
    return node
  }

  var running: [Node] { places.compactMap(\.node) }
  var leader: Node? {
    running.filter(\.isEstablishedLeader).max { $0.status.term < $1.status.term }
  }
  func index(of node: Node) -> Int { places.firstIndex { $0.node === node } ?? -1 }

  @discardableResult
  func run(seconds: Double = 60, until condition: () -> Bool) -> Bool {
    loop.run(forAtMost: UInt64(seconds * 1_000_000_000), until: condition)
  }

  func awaitLeader(sourceLocation: SourceLocation = #_sourceLocation) -> Node {
    #expect(
      run { leader != nil && running.allSatisfy { $0.hasLeader } },
      "no leader in time", sourceLocation: sourceLocation)
    guard let leader else { fatalError("no leader") }
    return leader
  }

  func stopAll() {
    var left = running.count
    for node in running { node.stop { left -= 1 } }
    run { left == 0 }
    for index in places.indices { places[index].node = nil }
  }

  // MARK: Requests

  func put(
    _ node: Node, _ key: String, _ value: String, seconds: Double = 10
  ) -> Result<Outcome, RequestFailure>? {
    var result: Result<Outcome, RequestFailure>?
    let set = KVSet(key: Key(key), value: Array(value.utf8), flags: 0, mode: .plain)
    node.propose(.kvSet(set), RequestContext()) { result = $0 }
    run(seconds: seconds) { result != nil }
    return result
  }

  func get(_ node: Node, _ key: String) -> String? {
    var isDone = false
    var failure: RequestFailure?
    node.readBarrier(RequestContext()) {
      failure = $0
      isDone = true
    }
    run { isDone }
    if let failure { return "failed: \(failure)" }
    return node.registry.kv(Key(key)).map { String(decoding: $0.value, as: UTF8.self) }
  }
}
