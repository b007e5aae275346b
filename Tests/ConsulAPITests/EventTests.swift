import HTTP
import Registry
import Testing

/// `/v1/event` (consul-api.md 11).
struct EventTests {
  let harness = APIHarness()

  @Test func firedEventsAreListed() {
    let fired = harness.put("/v1/event/fire/deploy", "payload")
    let id = String(fired.text.split(separator: "\"")[3])
    #expect(
      fired.text == """
        {"ID":"\(id)","Name":"deploy","Payload":"cGF5bG9hZA==","NodeFilter":"","ServiceFilter":"",\
        "TagFilter":"","Version":1,"LTime":0}
        """)
    #expect(harness.put("/v1/event/fire/other").text.contains("\"Payload\":null"))
    let list = harness.get("/v1/event/list?name=deploy")
    #expect(list.text == "[" + fired.text.dropLast(2) + "1}]")
    #expect(list.headers["X-Consul-Knownleader"] == nil)
    #expect(harness.get("/v1/event/list?name=no").line == "200 []")
    #expect(harness.get("/v1/event/list?name=no").index == 1)
    let unique = UniqueID(parsing: id)
    #expect(list.index == unique.map { $0.high ^ $0.low })
  }

  @Test(arguments: [
    ("/v1/event/fire/", "400 Missing name"),
    ("/v1/event/fire/a?tag=x", "500 Cannot provide tag filter without service filter"),
    (
      "/v1/event/fire/a?service=(",
      "500 Invalid service filter: error parsing regexp: missing "
        + "closing ): `(`"
    ),
    (
      "/v1/event/fire/a?node=[",
      "500 Invalid node filter: error parsing regexp: missing "
        + "closing ]: `[`"
    ),
  ])
  func badEventsAreRefused(_ row: (target: String, line: String)) {
    #expect(harness.put(row.target).line == row.line)
  }

  @Test func largeEventsAreRefused() {
    #expect(harness.put("/v1/event/fire/abc", String(repeating: "x", count: 509)).status == 200)
    let reply = harness.put("/v1/event/fire/abc", String(repeating: "x", count: 510))
    #expect(reply.status == 500)
    #expect(reply.text.contains("user event exceeds configured limit of 512 bytes before encoding"))
  }

  @Test func filtersChooseWhoSeesAnEvent() {
    harness.put("/v1/agent/service/register", #"{"Name":"web","Tags":["v1"]}"#)
    func shows(_ query: String) -> Bool {
      let name = "e\(query.hashValue.magnitude)"
      harness.put("/v1/event/fire/\(name)?\(query)")
      return harness.get("/v1/event/list?name=\(name)").text != "[]"
    }
    #expect(shows("node=n1") && !shows("node=n2"))
    #expect(shows("service=web") && !shows("service=db"))
    #expect(shows("service=w.b&tag=v1") && !shows("service=web&tag=v2"))
  }

  /// 11.5: waits while the mark is exactly the one sent.
  @Test func waitsForTheNextEvent() {
    harness.put("/v1/event/fire/a")
    let index = harness.get("/v1/event/list").index
    let waiting = harness.send("GET", "/v1/event/list?index=\(index)")
    #expect(waiting.response == nil)
    #expect(harness.get("/v1/event/list?index=\(index &+ 5)").status == 200)
    harness.put("/v1/event/fire/b")
    #expect(waiting.response?.status == 200)
  }
}
