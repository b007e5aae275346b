internal import CRoost
internal import EventLoop
internal import Foundation
internal import RoostClient

extension Bench {
  /// Parks `--watchers` blocking queries on one key of one node, prints what each costs in memory,
  /// then changes the key and measures until the last has its answer.
  func watch() throws -> Int32 {
    let count = try number("watchers", 10_000, 1...60_000)
    croost_raise_descriptor_limit()
    return try onNodes { all, cluster in
      let address = all[0]
      let roost = try Roost(addresses: ["\(address)"])
      _ = try roost.expectOK("PUT", "/v1/kv/bench/watched", body: Array("0".utf8))
      let cost = ProcessCost(listeningOn: address.port)
      guard
        let index = try roost.expectOK("GET", "/v1/kv/bench/watched").index
      else { throw CommandFailure("the node gives no index") }
      let before = cost?.sample().residentBytes ?? 0
      let herd = try WatchHerd(count: count, address: address, index: index)
      try herd.park()
      // Buffers of parked connections are given back within a few seconds.
      herd.idle(seconds: 3)
      let after = cost?.sample().residentBytes ?? 0
      let start = croost_monotonic()
      _ = try roost.expectOK("PUT", "/v1/kv/bench/watched", body: Array("1".utf8))
      let written = croost_monotonic()
      try herd.awaitAnswers()
      let end = herd.lastAnswer
      let bytes = Double(after - before) / Double(count)
      let milliseconds = Double(end - start) / 1e6
      if wantsJSON {
        struct Report: Encodable {
          var watchers: Int
          var bytesEach: Double
          var writeMilliseconds: Double
          var allAnsweredMilliseconds: Double
        }
        try ClientCommand.printJSON(
          Report(
            watchers: count, bytesEach: bytes,
            writeMilliseconds: Double(written - start) / 1e6,
            allAnsweredMilliseconds: milliseconds))
      } else {
        let text = String(
          format: "%.1f KB each; a change of what all watch reached the last after %.1f ms",
          bytes / 1024, milliseconds)
        Console.print("\(count) blocking queries: \(text)")
      }
      return 0
    }
  }
}

/// Many connections with one blocking query each.
private final class WatchHerd: TCPConnectionDelegate {
  private let loop: EventLoop
  private let count: Int
  private let address: SocketAddress
  private let request: [UInt8]
  private var connections: [TCPConnection] = []
  private var connected = 0
  private var answered = 0
  private var failure: String?
  private(set) var lastAnswer: UInt64 = 0
  /// Connections under way at a time, so that the listener's queue does not overflow.
  private static let connectingMax = 256

  init(count: Int, address: SocketAddress, index: UInt64) throws(SystemError) {
    loop = try EventLoop()
    self.count = count
    self.address = address
    let target = "/v1/kv/bench/watched?index=\(index)&wait=120s"
    request = Array("GET \(target) HTTP/1.1\r\nHost: bench\r\n\r\n".utf8)
  }

  func park() throws {
    while connected < count {
      while connections.count < count, connections.count - connected < Self.connectingMax {
        connections.append(
          TCPConnection(
            connectingTo: address, loop: loop, options: TCPConnection.Options(), delegate: self))
      }
      let before = connected
      _ = loop.run(forAtMost: 5_000_000_000) { connected > before || failure != nil }
      if let failure { throw CommandFailure("\(connected) queries parked, then: \(failure)") }
      guard connected > before else { throw CommandFailure("the node accepts no more clients") }
    }
  }

  func idle(seconds: UInt64) {
    _ = loop.run(forAtMost: seconds * 1_000_000_000) { failure != nil }
  }

  func awaitAnswers() throws {
    let isDone = loop.run(forAtMost: 30_000_000_000) { answered >= count || failure != nil }
    if let failure { throw CommandFailure(failure) }
    guard isDone else { throw CommandFailure("only \(answered) of \(count) were woken") }
  }

  func connectionDidConnect(_ connection: TCPConnection) {
    connected += 1
    connection.output.append(request)
    connection.flushAtTurnEnd()
  }

  func connectionDidRead(_ connection: TCPConnection) {
    guard let head = ResponseHead(connection.input.storage, connection.input.readableRange),
      connection.input.count >= head.bytes + head.bodyBytes
    else { return }
    connection.input.consume(head.bytes + head.bodyBytes)
    if head.status != 200 { failure = "a query was answered with status \(head.status)" }
    answered += 1
    lastAnswer = croost_monotonic()
  }

  func connectionDidReachEOF(_ connection: TCPConnection) { connection.close() }
  func connectionDidDrain(_ connection: TCPConnection) {}
  func connectionDidClose(_ connection: TCPConnection, error: SystemError?) {
    failure = error?.description ?? "the node closed a connection"
  }
}
