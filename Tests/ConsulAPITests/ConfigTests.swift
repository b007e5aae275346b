import HTTP
import Registry
import Testing

/// `/v1/config` and autopilot's configuration (consul-api.md 13, 17).
struct ConfigTests {
  let harness = APIHarness()

  @Test func entriesAreKept() {
    let body =
      #"{"kind":"service-defaults","Name":"web","protocol":"http","A_list":[1,{"b":null}]}"#
    #expect(harness.put("/v1/config", body).line == "200 true")
    let index = harness.backend.registry.lastIndex
    let shown = """
      {"Kind":"service-defaults","Name":"web","Protocol":"http","AList":[1,{"b":null}],\
      "TransparentProxy":{},"MeshGateway":{},"Expose":{},"CreateIndex":\(index),\
      "ModifyIndex":\(index)}
      """
    #expect(harness.get("/v1/config/service-defaults/web").line == "200 \(shown)")
    #expect(harness.get("/v1/config/service-defaults").line == "200 [\(shown)]")
    #expect(harness.get("/v1/config/service-defaults/web").index == index)
    #expect(harness.put("/v1/config?cas=1", body).line == "200 false")
    #expect(harness.put("/v1/config?cas=\(index)", body).line == "200 true")
    #expect(harness.ask("DELETE", "/v1/config/service-defaults/web").line == "200 {}")
    #expect(
      harness.get("/v1/config/service-defaults/web").line
        == "404 Config entry not found for \"service-defaults\" / \"web\"")
  }

  @Test(arguments: [
    (
      "PUT", "/v1/config", #"{"Kind":"bogus","Name":"x"}"#,
      "400 Bad request: Request decoding failed: invalid config entry kind: bogus"
    ),
    ("PUT", "/v1/config", #"{"Kind":"service-router"}"#, "500 Name is required"),
    ("PUT", "/v1/config", "", "400 Bad request: Request decoding failed: EOF"),
    ("GET", "/v1/config/bogus", "", "500 invalid config entry kind: bogus"),
    ("DELETE", "/v1/config/bogus/x", "", "400 invalid config entry kind: bogus"),
    ("DELETE", "/v1/config/mesh", "", "404 Must provide both a kind and name to delete"),
  ])
  func faultsAreTold(_ row: (method: String, target: String, body: String, line: String)) {
    #expect(harness.ask(row.method, row.target, body: row.body).line == row.line)
  }

  @Test func watchersOfEntriesWake() {
    let waiting = harness.send("GET", "/v1/config/mesh?index=1")
    #expect(waiting.response == nil)
    harness.put("/v1/config", #"{"Kind":"mesh"}"#)
    #expect(waiting.response?.status == 200)
  }

  @Test func autopilotIsReplicated() {
    let path = "/v1/operator/autopilot/configuration"
    #expect(harness.get(path).text.contains(#""ServerStabilizationTime":"10s""#))
    let body = #"{"CleanupDeadServers":true,"LastContactThreshold":"1m","MaxTrailingLogs":7}"#
    #expect(harness.put(path + "?cas=7", body).line == "200 false")
    #expect(harness.put(path + "?cas=1", body).line == "200 true")
    let index = harness.backend.registry.lastIndex
    #expect(
      harness.get(path).text == """
        {"CleanupDeadServers":true,"LastContactThreshold":"1m0s","MaxTrailingLogs":7,"MinQuorum":0,\
        "ServerStabilizationTime":"0s","RedundancyZoneTag":"","DisableUpgradeMigration":false,\
        "UpgradeVersionTag":"","CreateIndex":\(index),"ModifyIndex":\(index)}
        """)
    #expect(
      harness.put(path + "?cas=x", "{}").line
        == "400 Bad request: Error parsing cas value: strconv.ParseUint: parsing \"x\": invalid syntax"
    )
  }
}
