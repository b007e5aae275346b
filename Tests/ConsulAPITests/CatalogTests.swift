import Registry
import Testing

/// `/v1/catalog`, `/v1/health` and the web UI's endpoints (consul-api.md 7, 9, 19).
struct CatalogTests {
  let harness = APIHarness()

  private let full = """
    {"Node":"cn1","Address":"10.0.0.1","NodeMeta":{"k":"v"},"TaggedAddresses":{"lan":"10.0.0.1"},
     "Service":{"ID":"r1","Service":"redis","Tags":["primary","v1"],"Address":"127.0.0.9",
       "TaggedAddresses":{"lan":{"Address":"127.0.0.9","Port":8000}},"Meta":{"rv":"4"},"Port":8000},
     "Check":{"CheckID":"c1","Name":"hc","Status":"passing","Notes":"n","ServiceID":"r1",
       "Definition":{"TCP":"localhost:8888","Interval":"5s","Timeout":1000000000,
         "DeregisterCriticalServiceAfter":"90s"}}}
    """

  /// Indexes of what was written last are replaced by `#`.
  private func shape(_ target: String) -> String {
    let index = harness.backend.registry.lastIndex
    return harness.get(target).text.split(
      separator: "Index\":\(index)", omittingEmptySubsequences: false
    )
    .joined(separator: "Index\":#")
  }

  private let node = """
    {"ID":"","Node":"cn1","Address":"10.0.0.1","Datacenter":"dc1",\
    "TaggedAddresses":{"lan":"10.0.0.1"},"Meta":{"k":"v"},"CreateIndex":#,"ModifyIndex":#}
    """
  private let service = """
    {"ID":"r1","Service":"redis","Tags":["primary","v1"],"Address":"127.0.0.9",\
    "TaggedAddresses":{"lan":{"Address":"127.0.0.9","Port":8000}},"Meta":{"rv":"4"},"Port":8000,\
    "Weights":{"Passing":1,"Warning":1},"EnableTagOverride":false,\
    "Proxy":{"Mode":"","MeshGateway":{},"Expose":{}},"Connect":{},"CreateIndex":#,"ModifyIndex":#}
    """
  private let check = """
    {"Node":"cn1","CheckID":"c1","Name":"hc","Status":"passing","Notes":"n","Output":"",\
    "ServiceID":"r1","ServiceName":"redis","ServiceTags":["primary","v1"],"Type":"tcp",\
    "Interval":"","Timeout":"","ExposedPort":0,"Definition":{"Interval":"5s","Timeout":"1s",\
    "DeregisterCriticalServiceAfter":"1m30s","TCP":"localhost:8888"},\
    "CreateIndex":#,"ModifyIndex":#}
    """

  @Test func fullRegistrationInEveryForm() {
    #expect(harness.put("/v1/catalog/register", full).line == "200 true")
    #expect(
      shape("/v1/catalog/node/CN1") == "{\"Node\":\(node),\"Services\":{\"r1\":\(service)}}")
    #expect(
      shape("/v1/catalog/node-services/cn1") == "{\"Node\":\(node),\"Services\":[\(service)]}")
    #expect(
      shape("/v1/health/service/REDIS")
        == "[{\"Node\":\(node),\"Service\":\(service),\"Checks\":[\(check)]}]")
    #expect(shape("/v1/health/node/cn1") == "[\(check)]")
    #expect(shape("/v1/health/checks/redis") == "[\(check)]")
    #expect(
      shape("/v1/catalog/service/redis") == """
        [{"ID":"","Node":"cn1","Address":"10.0.0.1","Datacenter":"dc1",\
        "TaggedAddresses":{"lan":"10.0.0.1"},"NodeMeta":{"k":"v"},"ServiceKind":"",\
        "ServiceID":"r1","ServiceName":"redis","ServiceTags":["primary","v1"],\
        "ServiceAddress":"127.0.0.9",\
        "ServiceTaggedAddresses":{"lan":{"Address":"127.0.0.9","Port":8000}},\
        "ServiceWeights":{"Passing":1,"Warning":1},"ServiceMeta":{"rv":"4"},"ServicePort":8000,\
        "ServiceSocketPath":"","ServiceEnableTagOverride":false,\
        "ServiceProxy":{"Mode":"","MeshGateway":{},"Expose":{}},"ServiceConnect":{},\
        "CreateIndex":#,"ModifyIndex":#}]
        """)
  }

  @Test func emptyFieldsDifferByEndpoint() {
    harness.put(
      "/v1/catalog/register", "{\"node\":\"x\",\"ADDRESS\":\"a\",\"Service\":{\"Service\":\"s\"}}")
    let node = harness.get("/v1/catalog/node/x").text
    #expect(node.contains("\"TaggedAddresses\":null,\"Meta\":null"))
    #expect(node.contains("\"Tags\":[],\"Address\":\"\",\"Meta\":null,\"Weights\""), "no Port")
    let service = harness.get("/v1/catalog/service/s").text
    #expect(service.contains("\"ServiceMeta\":{},\"ServicePort\":0"))
    #expect(harness.get("/v1/internal/ui/node/x").text.contains("\"Tags\":null"))
    #expect(harness.get("/v1/internal/ui/node/y").line == "404 ")
  }

  @Test(arguments: [
    ("/v1/catalog/node/nope", "200 null"),
    ("/v1/catalog/node-services/nope", "200 {\"Node\":null,\"Services\":null}"),
    ("/v1/catalog/service/nope", "200 []"), ("/v1/health/service/nope", "200 []"),
    ("/v1/health/node/nope", "200 []"), ("/v1/health/checks/nope", "200 []"),
    ("/v1/health/state/nope", "200 []"), ("/v1/catalog/connect/x", "200 []"),
    ("/v1/health/ingress/x", "200 []"), ("/v1/catalog/datacenters", "200 [\"dc1\"]"),
    ("/v1/catalog/node/", "400 Missing node name"),
    ("/v1/catalog/service/", "400 Missing service name"),
    ("/v1/health/state/", "400 Missing check state"),
    ("/v1/health/node/", "400 Missing node name"),
    ("/v1/health/checks/", "400 Missing service name"),
    ("/v1/health/service/", "400 Missing service name"),
    ("/v1/health/service/x?passing=zz", "400 Invalid value for ?passing"),
    ("/v1/coordinate/node/nope", "404 "),
  ])
  func whatIsNotThere(_ row: (target: String, line: String)) {
    #expect(harness.get(row.target).line == row.line)
  }

  @Test(arguments: [
    ("", "400 Request decode failed: EOF"),
    ("{\"Bogus\":1}", "400 Request decode failed: json: unknown field \"Bogus\""),
    ("{}", "500 Must provide node"),
    ("{\"Node\":\"x\"}", "500 Must provide address if SkipNodeUpdate is not set"),
    ("{\"Node\":\"x\",\"SkipNodeUpdate\":true}", "200 true"),
    (
      "{\"Node\":\"x\",\"Address\":\"a\",\"ID\":\"zz\"}",
      "500 Bad node ID: uuid string is wrong length"
    ),
    ("{\"Node\":\"x\",\"Address\":\"a\",\"Datacenter\":\"dc2\"}", "500 No path to datacenter"),
    (
      "{\"Node\":\"x\",\"Address\":\"a\",\"Service\":{\"ID\":\"i\"}}",
      "500 Must provide service name with ID"
    ),
    (
      "{\"Node\":\"x\",\"Address\":\"a\",\"Service\":{\"Service\":\"s\",\"Address\":\"::\"}}",
      "500 Invalid service address"
    ),
    (
      "{\"Node\":\"x\",\"Address\":\"a\",\"Check\":{\"Name\":\"c\",\"ServiceID\":\"no\"}}",
      "500 failed inserting check: Missing service registration on node \"x\""
    ),
    ("{\"Node\":\"x\",\"Address\":\"a\",\"Service\":null,\"Check\":null}", "200 true"),
  ])
  func registrationsAreChecked(_ row: (body: String, line: String)) {
    #expect(harness.put("/v1/catalog/register", row.body).line == row.line)
  }

  @Test func typeErrorsAreDecodeErrors() {
    for body in [
      "{\"Node\":1}", "[]", "{\"Service\":{\"Port\":\"80\"}}", "{\"Node\":\"x\"", "nope",
    ] {
      let reply = harness.put("/v1/catalog/register", body)
      #expect(reply.status == 400 && reply.text.hasPrefix("Request decode failed: "), "\(body)")
    }
  }

  @Test func deregistering() {
    harness.put("/v1/catalog/register", full)
    #expect(harness.put("/v1/catalog/deregister", "{}").line == "500 Must provide node")
    #expect(harness.put("/v1/catalog/deregister").line == "400 Request decode failed: EOF")
    harness.put("/v1/catalog/deregister", "{\"Node\":\"cn1\",\"ServiceID\":\"r1\"}")
    #expect(harness.get("/v1/catalog/service/redis").line == "200 []")
    #expect(harness.put("/v1/catalog/deregister", "{\"Node\":\"CN1\"}").line == "200 true")
    #expect(harness.get("/v1/catalog/node/cn1").line == "200 null")
  }

  @Test func selections() {
    harness.put("/v1/catalog/register", full)
    harness.put(
      "/v1/catalog/register",
      "{\"Node\":\"cn2\",\"Address\":\"a\",\"Service\":{\"Service\":\"redis\",\"Tags\":[\"V1\"]},"
        + "\"Check\":{\"Name\":\"n\",\"Status\":\"warning\"}}")
    func nodes(_ target: String) -> [String] {
      harness.get(target).text.split(separator: "\"Node\":\"").dropFirst()
        .map { String($0.prefix { $0 != "\"" }) }
    }
    #expect(nodes("/v1/catalog/service/redis?tag=v1") == ["cn1", "cn2"])
    #expect(nodes("/v1/catalog/service/redis?tag=V1&tag=primary") == ["cn1"])
    #expect(nodes("/v1/catalog/service/redis?tag=") == [])
    #expect(nodes("/v1/catalog/service/redis?node-meta=k:v") == ["cn1"])
    #expect(nodes("/v1/catalog/service/redis?near=cn2") == ["cn2", "cn1"])
    #expect(nodes("/v1/catalog/nodes?near=_agent") == ["n1", "cn1", "cn2"])
    #expect(nodes("/v1/catalog/nodes?node-meta=k:v&node-meta=x:y") == [])
    #expect(nodes("/v1/health/state/warning") == ["cn2"])
    #expect(!harness.get("/v1/health/service/redis?passing=1").text.contains("cn2"))
    #expect(harness.get("/v1/health/service/redis?passing=false").text.contains("cn2"))
    let services = harness.get("/v1/catalog/services?node-meta=k:v").text
    #expect(services == "{\"redis\":[\"primary\",\"v1\"]}")
    #expect(harness.get("/v1/catalog/services").text.contains("\"consul\":[]"))
  }

  @Test func uiCountsChecks() {
    harness.put("/v1/catalog/register", full)
    let text = harness.get("/v1/internal/ui/services").text
    #expect(
      text.contains("\"Name\":\"redis\",\"Datacenter\":\"dc1\",\"Tags\":[\"primary\",\"v1\"]"))
    #expect(text.contains("\"InstanceCount\":1,\"ChecksPassing\":1,\"ChecksWarning\":0"))
    #expect(harness.get("/v1/internal/ui/nodes").text.contains("\"CheckID\":\"c1\""))
  }

  @Test func coordinatesAreZero() {
    let coordinate =
      "{\"Vec\":[0,0,0,0,0,0,0,0],\"Error\":1.5,\"Adjustment\":0,\"Height\":0.00001}"
    let reply = harness.get("/v1/coordinate/nodes")
    #expect(reply.text == "[{\"Node\":\"n1\",\"Segment\":\"\",\"Coord\":\(coordinate)}]")
    #expect(reply.index > 0)
    #expect(harness.get("/v1/coordinate/datacenters").text.contains("\"AreaID\":\"wan\""))
    #expect(harness.put("/v1/coordinate/update", "{}").line == "200 ")
  }

  @Test func servicesAreFilteredByInstance() {
    let harness = APIHarness()
    for (node, tag) in [("a", "prod"), ("b", "staging")] {
      harness.put(
        "/v1/catalog/register",
        #"{"Node":"\#(node)","Address":"x","Service":{"Service":"web","Tags":["\#(tag)"]}}"#)
    }
    let filtered = harness.get("/v1/catalog/services?filter=prod+in+ServiceTags")
    #expect(filtered.text == #"{"web":["prod"]}"#)
    #expect(harness.get("/v1/catalog/services?filter=Node==b").text == #"{"web":["staging"]}"#)
    #expect(harness.get("/v1/catalog/services").text.contains("consul"))
  }

  @Test func nothingComesFromPeers() {
    let harness = APIHarness()
    harness.put("/v1/catalog/register", #"{"Node":"a","Address":"x","Service":{"Service":"web"}}"#)
    for path in ["catalog", "health"] {
      #expect(harness.get("/v1/\(path)/service/web?peer=other").text == "[]")
      #expect(harness.get("/v1/\(path)/service/web?peer=").text.contains("web"))
    }
  }
}
