import HTTP
import Node
import Registry

/// `PUT /v1/agent/check/…` (consul-api.md 8.10 to 8.13).
extension ConsulAPI {
  static func checkRegister(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    let body: CheckBody
    do {
      body = try CheckBody(try BodyDecoder.parse(call.request.body))
    } catch {
      throw Refusal(error)
    }
    guard !body.name.isEmpty else { throw .bad("Missing check name") }
    guard body.hasValidStatus else { throw .bad("Bad check status") }
    if let fault = body.fault { throw .bad("Invalid check: \(fault)") }
    try api.checkScripts(body, isAllowed: api.backend.configuration.enableScriptChecks)
    return Proposal(
      command: .agentCheckRegister(api.record(of: body), host: api.site.nodeName), reply: .empty)
  }

  /// Of a check that is registered by itself.
  func record(of body: CheckBody) -> CheckRecord {
    var check = body.record(
      node: site.nodeName, id: body.id.isEmpty ? body.name : body.id, name: body.name)
    check.serviceID = body.serviceID
    check.interval = GoDuration.format(body.definition.interval)
    check.timeout = GoDuration.format(body.definition.timeout)
    return check
  }

  static func checkDeregister(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    guard !call.name.isEmpty else { throw .failed("CheckID missing") }
    return Proposal(
      command: .agentCheckDeregister(checkID: call.text, host: api.site.nodeName), reply: .empty)
  }

  /// pass, warn, fail: the note becomes the output.
  static func checkNote(
    _ status: String
  ) -> (ConsulAPI, Call) throws(Refusal) -> Void {
    { (api: ConsulAPI, call: Call) throws(Refusal) in
      api.updateCheck(call, status: status, output: call.query.text("note") ?? "")
    }
  }

  static func checkUpdate(_ api: ConsulAPI, _ call: Call) throws(Refusal) {
    var status = ""
    var output = ""
    do {
      let body = try BodyDecoder.parse(call.request.body)
      try BodyDecoder.object(body, "agent.checkUpdate") { name, field throws(DecodeError) in
        switch name {
        case "status": try field.read(&status)
        case "output": try field.read(&output)
        default: return CatalogBody.isIgnored(name)
        }
        return true
      }
    } catch {
      throw Refusal(error)
    }
    switch status {
    case "passing", "warning", "critical": break
    default: throw .bad("Invalid check status: '\(status)'")
    }
    let check = api.backend.registry.agentCheck(call.text, host: api.site.nodeName)
    let limit = check.map(\.definition.outputMaxSize) ?? 0
    api.updateCheck(call, status: status, output: truncated(output, to: limit))
  }

  /// The first bytes of a long output and how many there were (8.13).
  static func truncated(_ output: String, to limit: Int) -> String {
    let kept = limit > 0 ? limit : 4096
    let count = output.utf8.count
    guard count > kept else { return output }
    let head = String(decoding: output.utf8.prefix(kept), as: UTF8.self)
    return "\(head) ... (captured \(kept) of \(count) bytes)"
  }

  private func updateCheck(_ call: Call, status: String, output: String) {
    let update = CheckUpdate(
      checkID: call.text, fromHost: nil, node: nil, status: status, output: output)
    let responder = call.responder
    backend.updateTTLCheck(update, call.context) { [self] result in
      switch result {
      case .success(.refused(let refusal)): respond(Answer(refusal), responder)
      case .success: respond(.empty, responder)
      case .failure(let failure): respond(Answer(failure), responder)
      }
    }
  }
}
