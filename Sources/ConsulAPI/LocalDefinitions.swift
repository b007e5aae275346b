import HTTP
import Node
package import Registry

/// What a node's own configuration registers at its start (`services`, `checks`): the same JSON, the
/// same rules and the same commands as over HTTP.
extension ConsulAPI {
  package struct DefinitionFault: Error, Equatable {
    /// Such as `services, element 2: Missing service name`.
    package var message: String
  }

  /// The commands that register it all, in the order of the file.
  package func localRegistrations() throws(DefinitionFault) -> [Command] {
    let configuration = backend.configuration
    var commands: [Command] = []
    for (index, value) in configuration.services.enumerated() {
      do throws(Refusal) {
        commands.append(try localService(value))
      } catch {
        throw DefinitionFault(message: "services, element \(index + 1): \(error.text)")
      }
    }
    for (index, value) in configuration.checks.enumerated() {
      do throws(Refusal) {
        commands.append(try localCheck(value))
      } catch {
        throw DefinitionFault(message: "checks, element \(index + 1): \(error.text)")
      }
    }
    return commands
  }

  private var allowsLocalScripts: Bool {
    backend.configuration.enableScriptChecks || backend.configuration.enableLocalScriptChecks
  }

  private func localService(_ value: JSONValue) throws(Refusal) -> Command {
    var service = ServiceRecord(node: site.nodeName, id: "", name: "")
    var bodies: [CheckBody] = []
    do {
      try Self.readService(value, &service, &bodies)
    } catch {
      throw Refusal(error)
    }
    try ServiceRules.check(service)
    let checks = try checks(of: service, bodies, allowsScripts: allowsLocalScripts)
    service.origin = .agent
    ServiceRules.addTaggedAddresses(&service)
    return .agentRegister(
      AgentRegistration(
        host: site.nodeName, service: service, checks: checks, replaceExistingChecks: true))
  }

  private func localCheck(_ value: JSONValue) throws(Refusal) -> Command {
    let body: CheckBody
    do {
      body = try CheckBody(value)
    } catch {
      throw Refusal(error)
    }
    guard !body.name.isEmpty else { throw .bad("Missing check name") }
    guard body.hasValidStatus else { throw .bad("Bad check status") }
    if let fault = body.fault { throw .bad("Invalid check: \(fault)") }
    try checkScripts(body, isAllowed: allowsLocalScripts)
    return .agentCheckRegister(record(of: body), host: site.nodeName)
  }
}
