import HTTP
import Registry

/// A check as clients of the agent define it (consul-api.md 8.8): in a service, or by itself.
struct CheckBody {
  var id = ""
  var name = ""
  var notes = ""
  var status = ""
  var serviceID = ""
  var definition = CheckDefinition()
  /// No field at all was given: `"Check": {}` is no check.
  var isEmpty = true

  init(_ value: JSONValue) throws(DecodeError) {
    try BodyDecoder.object(value, "structs.CheckDefinition") { name, field throws(DecodeError) in
      if !field.isNull { isEmpty = false }
      switch name {
      case "id", "checkid": try field.read(&id)
      case "name": try field.read(&self.name)
      case "notes": try field.read(&notes)
      case "status": try field.read(&status)
      case "serviceid", "service_id": try field.read(&serviceID)
      case "token", "namespace", "partition", "proxyhttp", "proxygrpc": break
      default: return try Self.read(name, field, &definition)
      }
      return true
    }
  }

  /// The fields that say how to probe; false: not one of them.
  static func read(
    _ name: String, _ field: BodyField, _ definition: inout CheckDefinition
  ) throws(DecodeError) -> Bool {
    switch name {
    case "http": try field.read(&definition.http)
    case "method": try field.read(&definition.method)
    case "header": try readHeader(field, &definition.header)
    case "body": try field.read(&definition.body)
    case "disableredirects": try field.read(&definition.disableRedirects)
    case "tcp": try field.read(&definition.tcp)
    case "udp": try field.read(&definition.udp)
    case "grpc": try field.read(&definition.grpc)
    case "grpcusetls", "grpc_use_tls": try field.read(&definition.grpcUseTLS)
    case "h2ping": try field.read(&definition.h2ping)
    case "h2pingusetls", "tcpusetls", "osservice": break
    case "tlsservername", "tls_server_name": try field.read(&definition.tlsServerName)
    case "tlsskipverify", "tls_skip_verify": try field.read(&definition.tlsSkipVerify)
    case "args", "scriptargs", "script_args": try field.read(&definition.args)
    case "shell": try field.read(&definition.shell)
    case "dockercontainerid", "docker_container_id":
      try field.read(&definition.dockerContainerID)
    case "aliasnode": try field.read(&definition.aliasNode)
    case "aliasservice": try field.read(&definition.aliasService)
    default: return try readNumbers(name, field, &definition)
    }
    return true
  }

  private static func readNumbers(
    _ name: String, _ field: BodyField, _ definition: inout CheckDefinition
  ) throws(DecodeError) -> Bool {
    switch name {
    case "interval": try field.readDuration(&definition.interval)
    case "timeout": try field.readDuration(&definition.timeout)
    case "ttl": try field.readDuration(&definition.ttl)
    case "deregistercriticalserviceafter", "deregister_critical_service_after":
      try field.readDuration(&definition.deregisterCriticalServiceAfter)
    case "successbeforepassing": try field.read(&definition.successBeforePassing)
    case "failuresbeforecritical": try field.read(&definition.failuresBeforeCritical)
    case "failuresbeforewarning": try field.read(&definition.failuresBeforeWarning)
    case "outputmaxsize": try field.read(&definition.outputMaxSize)
    default: return false
    }
    return true
  }

  private static func readHeader(
    _ field: BodyField, _ header: inout [HeaderField]
  ) throws(DecodeError) {
    var fields: [HeaderField] = []
    for member in try field.members("map[string][]string") {
      var values: [String] = []
      try BodyField(name: field.name, value: member.value).read(&values)
      fields.removeAll { $0.name == member.name }
      fields.append(HeaderField(name: member.name, values: values))
    }
    header = fields.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  // MARK: Rules

  var isAlias: Bool { !definition.aliasNode.isEmpty || !definition.aliasService.isEmpty }
  var isScript: Bool { !definition.args.isEmpty }

  /// The texts of 8.8, in Consul's order; nil when the definition is sound.
  var fault: String? {
    let isProbe =
      isScript || !definition.http.isEmpty || !definition.tcp.isEmpty || !definition.udp.isEmpty
      || !definition.grpc.isEmpty || !definition.h2ping.isEmpty
    if definition.interval > 0 && definition.ttl > 0 {
      return "Interval and TTL cannot both be specified"
    }
    if isProbe && definition.interval <= 0 {
      return "Interval must be > 0 for Script, HTTP, H2PING, or TCP checks"
    }
    if isAlias && definition.interval > 0 { return "Interval cannot be set for Alias checks" }
    if isAlias && definition.ttl > 0 { return "TTL must be not be set for Alias checks" }
    if !isProbe && !isAlias && definition.ttl <= 0 { return "TTL must be > 0 for TTL checks" }
    if definition.outputMaxSize < 0 { return "MaxOutputMaxSize must be positive" }
    return nil
  }

  var hasValidStatus: Bool {
    switch status {
    case "", "passing", "warning", "critical": true
    default: false
    }
  }

  /// The record, with what is too small raised: probes run at most every second, and no service is
  /// deregistered before its check was critical for a minute.
  func record(node: String, id: String, name: String) -> CheckRecord {
    var check = CheckRecord(node: node, id: id, name: name)
    check.notes = notes
    check.status = status.isEmpty ? "critical" : status
    check.origin = .agent
    check.definition = definition
    if definition.interval > 0 {
      check.definition.interval = max(definition.interval, 1_000_000_000)
    }
    if definition.deregisterCriticalServiceAfter > 0 {
      check.definition.deregisterCriticalServiceAfter =
        max(definition.deregisterCriticalServiceAfter, 60_000_000_000)
    }
    check.type = CatalogBody.kind(of: definition)
    return check
  }
}
