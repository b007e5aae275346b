import Foundation
import Testing

@testable import RoostClient

/// The rules of blocking queries for clients, and the locks that are built on them.
struct WatchTests {
  private static func indexed(_ body: String, _ index: UInt64) -> [ScriptedServer.Step] {
    answer(body, headers: "X-Consul-Index: \(index)\r\n")
  }

  private static func entry(session: String? = nil, flags: UInt64 = Lock.flags) -> String {
    "[" + row("p/.lock", "null", session, flags: flags) + "]"
  }

  private static func row(
    _ key: String, _ value: String, _ session: String?, flags: UInt64
  ) -> String {
    let lock = session.map { #","Session":"\#($0)""# } ?? ""
    return #"{"Key":"\#(key)","Value":\#(value),"Flags":\#(flags),"CreateIndex":1,"#
      + #""ModifyIndex":7,"LockIndex":1\#(lock)}"#
  }

  @Test func onlyChangesAreTold() async throws {
    let (bodies, targets) = try await onThread {
      let server = ScriptedServer(
        Self.indexed("1", 10), Self.indexed("1", 12), Self.indexed("2", 13))
      var watch = Watch(try Roost(addresses: [server.address]), "/v1/x")
      let bodies = [try watch.next(), try watch.next()].map {
        String(decoding: $0.body, as: UTF8.self)
      }
      return (bodies, server.targets)
    }
    #expect(bodies == ["1", "2"])
    #expect(
      targets == ["GET /v1/x", "GET /v1/x?index=10&wait=60s", "GET /v1/x?index=12&wait=60s"])
  }

  @Test func anIndexThatFellBeginsAnew() async throws {
    let targets = try await onThread {
      let server = ScriptedServer(
        Self.indexed("1", 10), Self.indexed("2", 4), Self.indexed("3", 5))
      var watch = Watch(try Roost(addresses: [server.address]), "/v1/x")
      for _ in 0..<3 { _ = try watch.next() }
      return server.targets
    }
    #expect(targets == ["GET /v1/x", "GET /v1/x?index=10&wait=60s", "GET /v1/x"])
  }

  @Test func aMissingKeyIsAnAnswer() async throws {
    let statuses = try await onThread {
      let server = ScriptedServer(
        answer("", status: 404, headers: "X-Consul-Index: 3\r\n"), Self.indexed("[]", 4))
      var watch = Watch(try Roost(addresses: [server.address]), key: "k")
      return [try watch.next().status, try watch.next().status]
    }
    #expect(statuses == [404, 200])
  }

  @Test func whatHasNoIndexCannotBeFollowed() async throws {
    await #expect(throws: RoostError.self) {
      try await onThread {
        let server = ScriptedServer(answer("1"))
        var watch = Watch(try Roost(addresses: [server.address]), "/v1/x")
        _ = try watch.next()
      }
    }
  }

  @Test func aFreeLockIsTaken() async throws {
    let (held, targets) = try await onThread {
      let server = ScriptedServer(
        answer("", status: 404, headers: "X-Consul-Index: 3\r\n"), answer("true"))
      let lock = Lock(try Roost(addresses: [server.address]), prefix: "p/", session: "me")
      return (try lock.acquire(until: nil), server.targets)
    }
    #expect(held)
    #expect(targets == ["GET /v1/kv/p/.lock", "PUT /v1/kv/p/.lock?flags=\(Lock.flags)&acquire=me"])
  }

  @Test func aHeldLockIsWaitedFor() async throws {
    let targets = try await onThread {
      let server = ScriptedServer(
        Self.indexed(Self.entry(session: "other"), 9), Self.indexed(Self.entry(), 11),
        answer("true"))
      let lock = Lock(try Roost(addresses: [server.address]), prefix: "p", session: "me")
      #expect(try lock.acquire(until: nil))
      return server.targets
    }
    #expect(targets[1] == "GET /v1/kv/p/.lock?index=9&wait=60s")
    #expect(targets[2].contains("acquire=me"))
  }

  @Test func aKeyForAnotherPurposeIsNoLock() async throws {
    await #expect(throws: RoostError.conflict("p/.lock exists and is not a lock")) {
      try await onThread {
        let server = ScriptedServer(Self.indexed(Self.entry(flags: 1), 9))
        let lock = Lock(try Roost(addresses: [server.address]), prefix: "p", session: "me")
        _ = try lock.acquire(until: nil)
      }
    }
  }

  @Test func theLossOfALockIsNoticed() async throws {
    let count = try await onThread {
      let server = ScriptedServer(
        Self.indexed(Self.entry(session: "me"), 9), Self.indexed(Self.entry(session: "me"), 10),
        Self.indexed(Self.entry(session: "other"), 11))
      try Lock(try Roost(addresses: [server.address]), prefix: "p", session: "me").waitUntilLost()
      return server.targets.count
    }
    #expect(count == 3)
  }

  @Test func noTimeLeft() async throws {
    let held = try await onThread {
      let server = ScriptedServer(Self.indexed(Self.entry(session: "other"), 9))
      let lock = Lock(try Roost(addresses: [server.address]), prefix: "p", session: "me")
      return try lock.acquire(until: .now - .seconds(1))
    }
    #expect(!held)
  }

  @Test func aDeadHoldersPlaceIsFree() async throws {
    let written = try await onThread {
      // The holder "dead" has no contender key; "alive" and "me" have.
      let holders = Data(#"{"Limit":2,"Holders":{"dead":true,"alive":true}}"#.utf8)
      let value = "\"" + holders.base64EncodedString() + "\""
      let list = [
        Self.row("p/.lock", value, nil, flags: Semaphore.flags),
        Self.row("p/alive", "null", "alive", flags: Semaphore.flags),
        Self.row("p/me", "null", "me", flags: Semaphore.flags),
      ].joined(separator: ",")
      let server = ScriptedServer(answer("true"), Self.indexed("[\(list)]", 9), answer("true"))
      let roost = try Roost(addresses: [server.address])
      #expect(
        try Semaphore(roost, prefix: "p", limit: 2, session: "me").acquire(until: nil))
      return server.requests[2]
    }
    #expect(written.hasPrefix("PUT /v1/kv/p/.lock?flags=\(Semaphore.flags)&cas=7 "))
    #expect(written.contains("\"me\":true"))
    #expect(written.contains("\"alive\":true"))
    #expect(!written.contains("dead"))
  }
}
