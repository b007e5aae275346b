import HTTP
import Registry

/// `/v1/operator/autopilot/configuration` (consul-api.md 13): replicated, compared and shown. Roost
/// promotes and removes members by its own rules, so the settings change nothing.
extension ConsulAPI {
  static func autopilotConfiguration(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Answer {
    var settings = AutopilotSettings()
    if let stored = api.backend.registry.autopilot {
      settings = stored
    } else {
      settings.cleanupDeadServers = true
      settings.lastContactThreshold = 200_000_000
      settings.maxTrailingLogs = 250
      settings.serverStabilizationTime = 10_000_000_000
      settings.createIndex = 1
      settings.modifyIndex = 1
    }
    var writer = call.writer(reserving: 512)
    writer.beginObject()
    writer.field("CleanupDeadServers", settings.cleanupDeadServers)
    writer.field("LastContactThreshold", GoDuration.format(settings.lastContactThreshold))
    writer.field("MaxTrailingLogs", settings.maxTrailingLogs)
    writer.field("MinQuorum", settings.minQuorum)
    writer.field("ServerStabilizationTime", GoDuration.format(settings.serverStabilizationTime))
    writer.field("RedundancyZoneTag", settings.redundancyZoneTag)
    writer.field("DisableUpgradeMigration", settings.disableUpgradeMigration)
    writer.field("UpgradeVersionTag", settings.upgradeVersionTag)
    writer.indexes(create: settings.createIndex, modify: settings.modifyIndex)
    writer.endObject()
    return .json(writer)
  }

  /// Absent fields become zero, as in Consul.
  static func autopilotConfigure(_ api: ConsulAPI, _ call: Call) throws(Refusal) -> Proposal {
    var settings = AutopilotSettings()
    do throws(DecodeError) {
      let body = try BodyDecoder.parse(call.request.body)
      try BodyDecoder.object(body, "api.AutopilotConfiguration") {
        name, field throws(DecodeError) in
        try readAutopilot(name, field, &settings)
      }
    } catch {
      throw .bad("Bad request: Error parsing autopilot config: \(error.message)")
    }
    var cas: UInt64?
    if let text = call.query.bytes("cas") {
      do {
        cas = try UInt64(goParsing: text)
      } catch {
        throw .bad("Bad request: Error parsing cas value: \(error.text)")
      }
    }
    return Proposal(command: .autopilotSet(settings, cas: cas), reply: .flag)
  }

  private static func readAutopilot(
    _ name: String, _ field: BodyField, _ settings: inout AutopilotSettings
  ) throws(DecodeError) -> Bool {
    // Given back by clients that read, change and write; the state has its own.
    var index: UInt64 = 0
    switch name {
    case "cleanupdeadservers": try field.read(&settings.cleanupDeadServers)
    case "disableupgrademigration": try field.read(&settings.disableUpgradeMigration)
    case "maxtrailinglogs": try field.read(&settings.maxTrailingLogs)
    case "minquorum": try field.read(&settings.minQuorum)
    case "createindex", "modifyindex": try field.read(&index)
    case "lastcontactthreshold": try field.readDuration(&settings.lastContactThreshold)
    case "serverstabilizationtime": try field.readDuration(&settings.serverStabilizationTime)
    case "redundancyzonetag": try field.read(&settings.redundancyZoneTag)
    case "upgradeversiontag": try field.read(&settings.upgradeVersionTag)
    default: return false
    }
    return true
  }
}
