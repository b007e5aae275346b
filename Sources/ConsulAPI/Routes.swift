import HTTP
import Node
import Registry

/// The table: every path of the API, with its methods, what each needs and how consistent it is.
///
/// To add an endpoint add a row: path (with a slash at its end it takes everything below), then per
/// method the permission, the consistency class, and who answers. Paths that begin alike may stand
/// in any order: the longest match wins.
extension ConsulAPI {
  static func makeRoutes() -> [Route<B>] {
    kvRoutes + catalogRoutes + healthRoutes + agentRoutes + sessionRoutes + clusterRoutes
      + otherRoutes + queryRoutes
  }

  private typealias Row = Route<B>
  private typealias Check = (Read) throws(Refusal) -> Void
  private typealias Evaluate = (Read, Registry, Site) throws(Refusal) -> Answer

  // MARK: Columns

  private static func get(
    _ permission: Permission, _ consistency: Consistency, filter: [FilterField]? = nil,
    _ check: @escaping Check, _ evaluate: @escaping Evaluate
  ) -> Endpoint<B> {
    Endpoint(
      .get, permission, consistency, filter: filter, .read(check: check, evaluate: evaluate))
  }

  private static func local(
    _ method: HTTPMethod, _ permission: Permission, _ consistency: Consistency,
    _ answer: @escaping (ConsulAPI, Call) throws(Refusal) -> Answer
  ) -> Endpoint<B> {
    Endpoint(method, permission, consistency, .local(answer))
  }

  private static func write(
    _ method: HTTPMethod, _ permission: Permission,
    _ prepare: @escaping (ConsulAPI, Call) throws(Refusal) -> Proposal
  ) -> Endpoint<B> {
    Endpoint(method, permission, .action, .write(prepare))
  }

  /// A write below `/v1/agent`, where `dc` is not looked at.
  private static func agentWrite(
    _ permission: Permission,
    _ prepare: @escaping (ConsulAPI, Call) throws(Refusal) -> Proposal
  ) -> Endpoint<B> {
    Endpoint(.put, permission, .agent, .write(prepare))
  }

  private static func act(
    _ method: HTTPMethod, _ permission: Permission, _ consistency: Consistency,
    _ act: @escaping (ConsulAPI, Call) throws(Refusal) -> Void
  ) -> Endpoint<B> {
    Endpoint(method, permission, consistency, .act(act))
  }

  // MARK: Rows

  private static var kvRoutes: [Row] {
    [
      Row(
        "/v1/kv/",
        [
          get(.keyRead, .indexed, KV.checkGet, KV.get),
          act(.put, .keyWrite, .action, kvPut),
          write(.delete, .keyWrite, kvDelete),
        ]),
      Row("/v1/txn", [act(.put, .perOperation, .action, transaction)]),
    ]
  }

  private static var catalogRoutes: [Row] {
    let service = needs("Missing service name")
    let node = needs("Missing node name")
    return [
      Row("/v1/catalog/register", [write(.put, .nodeWrite, catalogRegister)]),
      Row("/v1/catalog/deregister", [write(.put, .nodeWrite, catalogDeregister)]),
      Row("/v1/catalog/datacenters", [local(.get, .none, .local, datacenters)]),
      Row(
        "/v1/catalog/nodes",
        [get(.nodeRead, .indexedWithMode, filter: FilterFields.node, anything, Catalog.nodes)]),
      Row(
        "/v1/catalog/services",
        [
          get(
            .serviceRead, .indexedWithMode, filter: FilterFields.catalogService, anything,
            Catalog.services)
        ]),
      Row(
        "/v1/catalog/service/",
        [
          get(
            .serviceRead, .indexedWithMode, filter: FilterFields.catalogService, service,
            Catalog.service)
        ]),
      Row(
        "/v1/catalog/connect/", [get(.serviceRead, .indexedWithMode, service, Catalog.nothing)]),
      Row(
        "/v1/catalog/gateway-services/",
        [get(.serviceRead, .indexedWithMode, service, Catalog.nothing)]),
      Row(
        "/v1/catalog/node/",
        [get(.nodeRead, .indexedWithMode, filter: FilterFields.nodeService, node, Catalog.node)]),
      Row(
        "/v1/catalog/node-services/",
        [
          get(
            .nodeRead, .indexedWithMode, filter: FilterFields.nodeService, node,
            Catalog.nodeServices)
        ]),
    ]
  }

  private static var healthRoutes: [Row] {
    let service = needs("Missing service name")
    let check = FilterFields.check
    return [
      Row(
        "/v1/health/node/",
        [
          get(
            .nodeRead, .indexedWithMode, filter: check, needs("Missing node name"), Health.node)
        ]),
      Row(
        "/v1/health/checks/",
        [get(.serviceRead, .indexedWithMode, filter: check, service, Health.checks)]),
      Row(
        "/v1/health/state/",
        [
          get(
            .nodeRead, .indexedWithMode, filter: check, needs("Missing check state"),
            Health.state)
        ]),
      Row(
        "/v1/health/service/",
        [
          get(
            .serviceRead, .indexedWithMode, filter: FilterFields.health, Health.checkService,
            Health.service)
        ]),
      Row(
        "/v1/health/connect/", [get(.serviceRead, .indexedWithMode, service, Catalog.nothing)]),
      Row(
        "/v1/health/ingress/", [get(.serviceRead, .indexedWithMode, service, Catalog.nothing)]),
    ]
  }

  private static var agentRoutes: [Row] {
    let services = FilterFields.nodeService
    return [
      Row(
        "/v1/agent/services",
        [get(.serviceRead, .agent, filter: services, anything, Agent.services)]),
      Row("/v1/agent/service/", [get(.serviceRead, .agent, anything, Agent.service)]),
      Row(
        "/v1/agent/checks",
        [get(.serviceRead, .agent, filter: FilterFields.check, anything, Agent.checks)]),
      Row("/v1/agent/health/service/id/", [local(.get, .serviceRead, .agent, healthByID)]),
      Row("/v1/agent/health/service/name/", [local(.get, .serviceRead, .agent, healthByName)]),
      Row("/v1/agent/service/register", [agentWrite(.serviceWrite, agentRegister)]),
      Row("/v1/agent/service/deregister/", [agentWrite(.serviceWrite, agentDeregister)]),
      Row("/v1/agent/service/maintenance/", [agentWrite(.serviceWrite, serviceMaintenance)]),
      Row("/v1/agent/maintenance", [agentWrite(.nodeWrite, nodeMaintenance)]),
      Row("/v1/agent/check/register", [agentWrite(.checkWrite, checkRegister)]),
      Row("/v1/agent/check/deregister/", [agentWrite(.checkWrite, checkDeregister)]),
      Row("/v1/agent/check/pass/", [act(.put, .checkWrite, .agent, checkNote("passing"))]),
      Row("/v1/agent/check/warn/", [act(.put, .checkWrite, .agent, checkNote("warning"))]),
      Row("/v1/agent/check/fail/", [act(.put, .checkWrite, .agent, checkNote("critical"))]),
      Row("/v1/agent/check/update/", [act(.put, .checkWrite, .agent, checkUpdate)]),
    ] + agentInfoRoutes
  }

  private static var agentInfoRoutes: [Row] {
    [
      Row("/v1/agent/self", [local(.get, .agentRead, .agentLocal, agentSelf)]),
      Row("/v1/agent/members", [local(.get, .nodeRead, .agentLocal, members)]),
      Row("/v1/agent/metrics", [act(.get, .agentRead, .agentLocal, metrics)]),
      Row("/v1/agent/host", [local(.get, .operatorRead, .agentLocal, agentHost)]),
      Row("/v1/agent/monitor", [act(.get, .agentRead, .agentLocal, monitor)]),
      Row("/v1/agent/version", [local(.get, .none, .agentLocal, agentVersion)]),
      Row("/v1/agent/reload", [local(.put, .agentWrite, .agentLocal, agentReload)]),
      Row("/v1/agent/leave", [local(.put, .agentWrite, .agentLocal, agentLeave)]),
      Row("/v1/agent/join/", [local(.put, .agentWrite, .agentLocal, agentJoin)]),
      Row("/v1/agent/force-leave/", [act(.put, .operatorWrite, .agentLocal, forceLeave)]),
      Row("/v1/agent/token/", [local(.put, .agentWrite, .agentLocal, aclDisabled)]),
    ]
  }

  private static var sessionRoutes: [Row] {
    [
      Row("/v1/session/create", [write(.put, .sessionWrite, sessionCreate)]),
      Row("/v1/session/destroy/", [write(.put, .sessionWrite, sessionDestroy)]),
      Row("/v1/session/renew/", [act(.put, .sessionWrite, .action, sessionRenew)]),
      Row(
        "/v1/session/info/", [get(.sessionRead, .indexed, Sessions.checkInfo, Sessions.info)]),
      Row("/v1/session/list", [get(.sessionRead, .indexed, anything, Sessions.all)]),
      Row(
        "/v1/session/node/",
        [get(.sessionRead, .indexed, needs("Missing node name"), Sessions.ofNode)]),
    ]
  }

  private static var clusterRoutes: [Row] {
    [
      Row("/v1/status/leader", [local(.get, .none, .local, statusLeader)]),
      Row("/v1/status/peers", [local(.get, .none, .local, statusPeers)]),
      Row(
        "/v1/operator/raft/configuration",
        [local(.get, .operatorRead, .plain, raftConfiguration)]),
      Row(
        "/v1/operator/raft/peer",
        [
          act(.delete, .operatorWrite, .action, raftRemovePeer),
          act(.put, .operatorWrite, .action, raftAddPeer),
        ]),
      Row(
        "/v1/operator/raft/transfer-leader",
        [
          act(.post, .operatorWrite, .action, transferLeader),
          act(.put, .operatorWrite, .action, transferLeader),
        ]),
      Row(
        "/v1/operator/autopilot/configuration",
        [
          local(.get, .operatorRead, .plain, autopilotConfiguration),
          write(.put, .operatorWrite, autopilotConfigure),
        ]),
      Row("/v1/operator/autopilot/health", [local(.get, .operatorRead, .plain, autopilotHealth)]),
      Row("/v1/operator/autopilot/state", [local(.get, .operatorRead, .plain, autopilotState)]),
      Row("/v1/roost/status", [local(.get, .agentRead, .local, roostStatus)]),
      Row("/v1/operator/usage", [local(.get, .operatorRead, .plain, usage)]),
      Row(
        "/v1/operator/keyring",
        [
          local(.get, .operatorRead, .local, keyring),
          local(.post, .operatorWrite, .local, keyring),
          local(.put, .operatorWrite, .local, keyring),
          local(.delete, .operatorWrite, .local, keyring),
        ]),
    ]
  }

  private static var queryRoutes: [Row] {
    [
      Row(
        "/v1/snapshot",
        [
          act(.get, .snapshot, .action, snapshotSave),
          act(.put, .snapshot, .action, snapshotRestore),
        ]),
      Row("/v1/stream", [act(.get, .stream, .action, stream)]),
      Row("/v1/event/fire/", [write(.put, .eventWrite, eventFire)]),
      Row("/v1/event/list", [get(.eventRead, .events, anything, Events.list)]),
      Row(
        "/v1/query",
        [
          get(.queryRead, .indexedWithMode, anything, Queries.all),
          write(.post, .queryWrite, queryCreate),
        ]),
      Row(
        "/v1/query/", listsOptions: false,
        [
          get(.queryRead, .indexedWithMode, Queries.check, Queries.one),
          write(.put, .queryWrite, queryUpdate),
          write(.delete, .queryWrite, queryDelete),
        ]),
    ]
  }

  private static var otherRoutes: [Row] {
    [
      Row("/v1/coordinate/datacenters", [local(.get, .none, .local, coordinateDatacenters)]),
      Row("/v1/coordinate/nodes", [get(.nodeRead, .indexed, anything, Coordinates.nodes)]),
      Row("/v1/coordinate/node/", [get(.nodeRead, .indexed, anything, Coordinates.node)]),
      Row("/v1/coordinate/update", [local(.put, .nodeWrite, .local, coordinateUpdate)]),
      Row("/v1/internal/ui/services", [get(.serviceRead, .indexed, anything, UI.services)]),
      Row(
        "/v1/internal/ui/nodes",
        [get(.nodeRead, .indexed, filter: FilterFields.nodeInfo, anything, UI.nodes)]),
      Row(
        "/v1/internal/ui/node/",
        [get(.nodeRead, .indexed, needs("Missing node name"), UI.node)]),
      Row("/v1/config", [write(.put, .perKind, configPut)]),
      Row(
        "/v1/config/",
        [
          get(.perKind, .indexed, anything, ConfigEntries.get),
          write(.delete, .perKind, configDelete),
        ]),
      Row(
        "/v1/acl/",
        [
          local(.get, .aclRead, .local, aclDisabled),
          local(.put, .aclWrite, .local, aclDisabled),
          local(.post, .aclWrite, .local, aclDisabled),
          local(.delete, .aclWrite, .local, aclDisabled),
        ]),
      Row(
        "/v1/internal/acl/authorize", [local(.post, .none, .local, aclDisabled)]),
    ]
  }
}
