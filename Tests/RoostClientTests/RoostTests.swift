import Testing

@testable import RoostClient

/// Which node is asked, what is sent, and what errors say.
struct RoostTests {
  @Test func theNextAddressIsAsked() async throws {
    let (isItsAnswer, asked) = try await onThread {
      let server = ScriptedServer(answer("true"))
      let roost = try Roost(addresses: ["127.0.0.1:\(closedPort)", server.address])
      let response = try roost.request("PUT", "/v1/kv/x", body: [1])
      return (response.address == server.address, server.targets)
    }
    #expect(isItsAnswer)
    #expect(asked == ["PUT /v1/kv/x"])
  }

  @Test func aWriteIsRepeatedUnderTheSameID() async throws {
    let ids = try await onThread {
      let (first, second) = (ScriptedServer([]), ScriptedServer(answer("true")))
      let roost = try Roost(addresses: [first.address, second.address])
      #expect(try roost.put("x", [1]))
      return [first, second].map { server in
        server.requests[0].split(separator: "\r\n").filter { $0.hasPrefix("X-Roost-Request-Id: ") }
      }
    }
    #expect(ids[0].count == 1)
    #expect(ids[0] == ids[1])
  }

  @Test func anUnansweredWriteIsUnknown() async throws {
    let error = await #expect(throws: RoostError.self) {
      try await onThread {
        let server = ScriptedServer([])
        _ = try Roost(addresses: [server.address]).put("x", [])
      }
    }
    guard case .outcomeUnknown? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func aNodeWithoutALeaderIsPassedOver() async throws {
    let body = try await onThread {
      let cut = ScriptedServer(answer("No cluster leader", status: 500))
      let whole = ScriptedServer(answer("true"))
      let roost = try Roost(addresses: [cut.address, whole.address])
      return try roost.request("PUT", "/v1/kv/x").body
    }
    #expect(body == Array("true".utf8))
  }

  @Test func aRefusalByAllIsTold() async throws {
    let error = await #expect(throws: RoostError.self) {
      try await onThread {
        let cut = ScriptedServer(answer("No cluster leader", status: 500))
        let roost = try Roost(addresses: [cut.address, "127.0.0.1:\(closedPort)"])
        _ = try roost.put("x", [])
      }
    }
    #expect(error == .status(500, "No cluster leader"))
  }

  @Test func anUnknownPathIsNamed() async throws {
    let error = await #expect(throws: RoostError.self) {
      try await onThread {
        let server = ScriptedServer(answer("", status: 404))
        _ = try Roost(addresses: [server.address]).snapshot()
      }
    }
    let text = error.map { "\($0)" }
    #expect(text == "the node does not offer GET /v1/snapshot (status 404)")
  }

  @Test func tokenDatacenterAndKeysAreEncoded() async throws {
    let request = try await onThread {
      let server = ScriptedServer(answer("true"))
      var roost = try Roost(addresses: [server.address], token: "secret")
      roost.datacenter = "dc 1"
      _ = try roost.put("a b/ü?#%", [1, 2], flags: 7, cas: 3)
      return server.requests[0]
    }
    #expect(
      request.hasPrefix("PUT /v1/kv/a%20b/%C3%BC%3F%23%25?flags=7&cas=3&dc=dc%201 HTTP/1.1\r\n"))
    #expect(request.contains("\r\nX-Consul-Token: secret\r\n"))
    #expect(request.contains("\r\nContent-Length: 2\r\n"))
  }

  @Test(arguments: ["", ":8500", "host", "host:", "host:0", "host:65536", "host:x", "https://h:1"])
  func badAddresses(_ text: String) {
    #expect(throws: RoostError.badAddress(text)) { try Roost(addresses: [text]) }
  }

  @Test func addresses() throws {
    let roost = try Roost(addresses: ["a:1", "http://b:2/", "[::1]:3"])
    #expect(roost.addresses == ["a:1", "b:2", "[::1]:3"])
    #expect(throws: RoostError.badAddress("")) { try Roost(addresses: []) }
  }

  @Test func encoding() {
    #expect(Roost.encode("aZ0-._~", keepingSlash: false) == "aZ0-._~")
    #expect(Roost.encode("a/b c+&=", keepingSlash: false) == "a%2Fb%20c%2B%26%3D")
    #expect(Roost.encode("a/b", keepingSlash: true) == "a/b")
  }

  @Test func badBase64IsAnError() async throws {
    await #expect(throws: RoostError.unexpectedAnswer("the value of a is not base64")) {
      try await onThread {
        let entry =
          #"[{"Key":"a","Value":"?","Flags":0,"CreateIndex":1,"ModifyIndex":1,"LockIndex":0}]"#
        let server = ScriptedServer(answer(entry))
        _ = try Roost(addresses: [server.address]).get("a")
      }
    }
  }
}
