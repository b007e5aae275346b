internal import Registry

/// The status of an alias check: the worst of the checks of its target and of the target's node
/// (consul-api.md 8.8). Read from the registry; nothing is sent anywhere.
enum AliasRule {
  static func applies(to check: CheckRecord) -> Bool {
    !check.definition.aliasNode.isEmpty || !check.definition.aliasService.isEmpty
  }

  /// Without a node, the service is looked up in the whole cluster: it may have moved.
  static func judge(_ check: CheckRecord, in registry: Registry) -> CheckDuty.Said {
    let target = check.definition.aliasService
    var host = check.definition.aliasNode
    if host.isEmpty { host = registry.agentService(target)?.node ?? check.node }
    var checks = registry.nodeLevelChecks(onNode: host)
    if !target.isEmpty { checks += registry.checks(onNode: host, serviceID: target) }
    // Itself it cannot follow.
    checks.removeAll {
      foldedName($0.id) == foldedName(check.id) && foldedName($0.node) == foldedName(check.node)
    }
    if !target.isEmpty, registry.service(onNode: host, id: target) == nil {
      return CheckDuty.Said(
        status: "critical", output: "Service \(target) could not be found on node \(host)")
    }
    let failing =
      checks.first { $0.status == "critical" } ?? checks.last { $0.status == "warning" }
    guard let failing else {
      let output = checks.isEmpty ? "No checks found." : "All checks passing."
      return CheckDuty.Said(status: "passing", output: output)
    }
    return CheckDuty.Said(
      status: failing.status,
      output: "Aliased check \"\(failing.name)\" failing: \(failing.output)")
  }
}
