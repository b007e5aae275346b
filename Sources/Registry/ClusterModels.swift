/// A config entry: kept and shown as it was given, since there is no mesh that reads it
/// (consul-api.md 17).
package struct ConfigEntry: Equatable, Sendable {
  package var kind: String
  package var name: String
  /// The members of the object without kind, name and indexes, as the inside of a JSON object.
  package var fieldsJSON: [UInt8]
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init(kind: String, name: String, fieldsJSON: [UInt8]) {
    self.kind = kind
    self.name = name
    self.fieldsJSON = fieldsJSON
  }
}

/// What `/v1/operator/autopilot/configuration` keeps. Durations in nanoseconds.
package struct AutopilotSettings: Equatable, Sendable {
  package var cleanupDeadServers = false
  package var lastContactThreshold: Int64 = 0
  package var maxTrailingLogs: UInt64 = 0
  package var minQuorum: UInt64 = 0
  package var serverStabilizationTime: Int64 = 0
  package var redundancyZoneTag = ""
  package var disableUpgradeMigration = false
  package var upgradeVersionTag = ""
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init() {}
}

/// A user event (consul-api.md 11).
package struct UserEvent: Equatable, Sendable {
  package var id: UniqueID
  package var name: String
  package var payload: [UInt8]
  package var nodeFilter = ""
  package var serviceFilter = ""
  package var tagFilter = ""
  /// Grows by one with every event; given when it is applied.
  package var lTime: UInt64 = 0
  package init(id: UniqueID, name: String, payload: [UInt8]) {
    self.id = id
    self.name = name
    self.payload = payload
  }
}

/// A prepared query (consul-api.md 16). Nil lists and maps were not given.
package struct PreparedQuery: Equatable, Sendable {
  package var id: UniqueID
  package var name = ""
  /// The query ends with it.
  package var session: UniqueID?
  package var token = ""
  /// `name_prefix_match`, or empty: not a template.
  package var templateType = ""
  package var templateRegexp = ""
  package var removeEmptyTags = false
  package var service = ""
  package var nearestN: Int64 = 0
  package var datacenters: [String]?
  package var onlyPassing = false
  package var ignoreCheckIDs: [String]?
  package var near = ""
  package var tags: [String]?
  package var nodeMeta: StringMap?
  package var serviceMeta: StringMap?
  package var connect = false
  package var dnsTTL = ""
  package var createIndex: UInt64 = 0
  package var modifyIndex: UInt64 = 0
  package init(id: UniqueID) { self.id = id }

  package var isTemplate: Bool { !templateType.isEmpty }
}
