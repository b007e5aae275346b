import EventLoop
import Raft
import Testing

@testable import Peer

@Suite(.serialized) struct ProbeTests {
  @Test func aProbeHearsWhoIsThereAndTalks() throws {
    let loop = try EventLoop()
    let a = try TestNode(1, loop: loop)
    let b = try TestNode(2, loop: loop, clusterID: [UInt8](repeating: 5, count: 16))
    b.onFrame = { kind, payload, origin in
      #expect(b.transport?.reply(kind: kind + 1, payload: payload + [9], to: origin) == true)
    }
    let probe = try #require(a.transport?.probe(host: "127.0.0.1", port: b.address.port))
    #expect(loop.run(forAtMost: 60 * second) { a.hellos.count == 1 })
    #expect(a.hellos[0].1 == .probe(probe))
    #expect(a.hellos[0].0.identity.nodeID == b.id)
    #expect(a.hellos[0].0.identity.clusterID == [UInt8](repeating: 5, count: 16))
    #expect(a.hellos[0].0.advertisedPort == b.address.port)
    #expect(b.hellos[0].0.identity.nodeName == "node1")
    #expect(a.transport?.sendFrame(kind: 3, payload: [1], toProbe: probe) == true)
    #expect(loop.run(forAtMost: 60 * second) { a.frames.count == 1 })
    #expect(a.frames[0].kind == 4)
    #expect(a.frames[0].payload == [1, 9])
    #expect(a.frames[0].origin == .probe(probe))
    a.transport?.closeProbe(probe)
    #expect(loop.run(forAtMost: 60 * second) { b.events.count == 1 })
    #expect(a.events.isEmpty)
    #expect(a.transport?.sendFrame(kind: 3, payload: [1], toProbe: probe) == false)
    b.onFrame = nil
  }

  @Test func aProbeByNameOfItself() throws {
    let loop = try EventLoop()
    let a = try TestNode(1, loop: loop)
    _ = a.transport?.probe(host: "localhost", port: a.address.port)
    #expect(loop.run(forAtMost: 60 * second) { a.hellos.count == 2 || !a.events.isEmpty })
    #expect(a.hellos.allSatisfy { $0.0.identity.nodeID == a.id })
  }

  @Test func failuresAreTold() throws {
    let loop = try EventLoop()
    var limits = TestNode.limits
    limits.probesMax = 3
    let a = try TestNode(1, loop: loop, limits: limits)
    let other = try TestNode(2, loop: loop, cluster: "other")
    let gone = try TestNode(3, loop: loop)
    let port = gone.address.port
    gone.transport?.close()
    let refused = try #require(a.transport?.probe(host: "127.0.0.1", port: port))
    let foreign = try #require(a.transport?.probe(host: "127.0.0.1", port: other.address.port))
    let nonsense = try #require(a.transport?.probe(host: "no such host!", port: 1))
    let excess = try #require(a.transport?.probe(host: "127.0.0.1", port: port))
    #expect(a.events.isEmpty, "never from within the call")
    #expect(loop.run(forAtMost: 60 * second) { a.events.count == 4 })
    for probe in [refused, foreign, nonsense, excess] {
      #expect(a.events.contains(.probeEnded(probe)))
    }
    #expect(a.probeErrors.allSatisfy { $0 != nil })
    #expect(a.rejections.map(\.reason) == [.wrongCluster])
  }
}
