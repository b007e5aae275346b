internal import Checks
internal import Registry

/// How a check of the registry is to be probed.
extension CheckDuty {
  /// Nil for checks that no host probes: TTL, maintenance, alias.
  static func spec(of check: CheckRecord, key: String, _ scripts: ScriptRule) -> ProbeSpec? {
    guard let kind = kind(of: check.definition, scripts) else { return nil }
    let definition = check.definition
    return ProbeSpec(
      id: key, kind: kind, intervalNanoseconds: UInt64(max(0, definition.interval)),
      timeoutNanoseconds: UInt64(max(0, definition.timeout)),
      successBeforePassing: definition.successBeforePassing,
      failuresBeforeWarning: definition.failuresBeforeWarning,
      failuresBeforeCritical: definition.failuresBeforeCritical,
      initialStatus: .critical,
      outputBytesMax: definition.outputMaxSize > 0 ? definition.outputMaxSize : 4096)
  }

  private static func kind(of definition: CheckDefinition, _ scripts: ScriptRule) -> ProbeKind? {
    if !definition.dockerContainerID.isEmpty {
      return .unsupported("docker checks are not supported by Roost; use a script check")
    }
    if !definition.args.isEmpty {
      guard scripts.allows(definition.args) else {
        return .unsupported("Scripts are disabled on this agent")
      }
      return .script(arguments: definition.args)
    }
    if !definition.http.isEmpty {
      return .http(
        url: definition.http, method: definition.method.isEmpty ? "GET" : definition.method,
        headers: definition.header.map { ($0.name, $0.values) },
        body: Array(definition.body.utf8), tlsSkipVerify: definition.tlsSkipVerify)
    }
    if !definition.tcp.isEmpty { return .tcp(address: definition.tcp) }
    if !definition.udp.isEmpty { return .udp(address: definition.udp) }
    if !definition.grpc.isEmpty {
      return .grpc(target: definition.grpc, usesTLS: definition.grpcUseTLS)
    }
    if !definition.h2ping.isEmpty {
      return .unsupported("h2ping checks need TLS, which this version of Roost does not have")
    }
    return nil
  }
}

/// Which scripts this host runs. Decided here once more, whatever let the check into the registry:
/// it may have come through a node with other settings, or have been written over in the catalog.
struct ScriptRule {
  private var allowsAll = false
  /// Of the node's own configuration file.
  private var local: Set<[String]> = []

  init(_ configuration: NodeConfiguration, _ registrations: [Command]) {
    allowsAll = configuration.enableScriptChecks
    guard configuration.enableLocalScriptChecks else { return }
    for command in registrations {
      switch command {
      case .agentRegister(let registration):
        for check in registration.checks { local.insert(check.definition.args) }
      case .agentCheckRegister(let check, _): local.insert(check.definition.args)
      default: break
      }
    }
  }

  func allows(_ arguments: [String]) -> Bool { allowsAll || local.contains(arguments) }
}
