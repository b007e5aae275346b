internal import CRoost
internal import EventLoop
internal import Foundation
internal import Harness
internal import RoostClient

/// A system that takes part in a comparison: started for it, in the comparison's folder.
final class Competitor {
  enum Kind: String, CaseIterable {
    case etcd, nginx, consul

    /// The program, and how to get it.
    var program: (name: String, advice: String) {
      switch self {
      case .etcd: ("etcd", "Debian and Ubuntu: apt-get install etcd-server")
      case .nginx: ("nginx", "Debian and Ubuntu: apt-get install nginx-light")
      case .consul: ("consul", "from HashiCorp, if you have it; it is left out otherwise")
      }
    }
  }

  let kind: Kind
  /// Of every node.
  private(set) var addresses: [SocketAddress] = []
  private var processes: [Int32] = []

  /// - Parameter program: its path.
  init(_ kind: Kind, program: String, folder: String) throws {
    self.kind = kind
    switch kind {
    case .etcd: try startEtcd(program, folder)
    case .nginx: try startNginx(program, folder)
    case .consul: try startConsul(program, folder)
    }
    try awaitPorts()
  }

  deinit { close() }

  func close() {
    for index in processes.indices { ChildProcess.end(&processes[index], SIGTERM) }
  }

  private func add(_ port: UInt16) {
    addresses.append(SocketAddress(ip: [127, 0, 0, 1], port: port))
  }

  /// Three members that sync every write, as they do unless told otherwise.
  private func startEtcd(_ program: String, _ folder: String) throws {
    let ports = try Ports.take(6)
    let cluster = (0..<3).map { "m\($0)=http://127.0.0.1:\(ports[2 * $0 + 1])" }
      .joined(separator: ",")
    for member in 0..<3 {
      let client = "http://127.0.0.1:\(ports[2 * member])"
      let peer = "http://127.0.0.1:\(ports[2 * member + 1])"
      processes.append(
        try ChildProcess.start(
          program,
          [
            program, "--name", "m\(member)", "--data-dir", "\(folder)/etcd\(member)",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", cluster, "--initial-cluster-state", "new",
            "--log-level", "error",
          ], log: "\(folder)/etcd\(member).log"))
      add(ports[2 * member])
    }
  }

  private func startNginx(_ program: String, _ folder: String) throws {
    let port = try Ports.take(1)[0]
    let text = """
      worker_processes 1; daemon off; pid \(folder)/nginx.pid; error_log \(folder)/nginx.err;
      events { worker_connections 8192; }
      http { access_log off; keepalive_requests 1000000000;
        client_body_temp_path \(folder)/b; proxy_temp_path \(folder)/p;
        fastcgi_temp_path \(folder)/f; uwsgi_temp_path \(folder)/u; scgi_temp_path \(folder)/s;
        server { listen 127.0.0.1:\(port); location / { return 200; } } }
      """
    try text.write(toFile: "\(folder)/nginx.conf", atomically: false, encoding: .utf8)
    processes.append(
      try ChildProcess.start(
        program,
        [program, "-c", "\(folder)/nginx.conf", "-p", folder, "-e", "\(folder)/nginx.err"],
        log: "\(folder)/nginx.log"))
    add(port)
  }

  private func startConsul(_ program: String, _ folder: String) throws {
    let ports = try Ports.take(18)
    let joins = (0..<3).flatMap { ["-retry-join", "127.0.0.1:\(ports[6 * $0 + 1])"] }
    for server in 0..<3 {
      let own = Array(ports[6 * server..<6 * server + 6])
      let text = """
        { "ports": { "http": \(own[0]), "serf_lan": \(own[1]), "serf_wan": \(own[2]),
          "server": \(own[3]), "dns": -1, "grpc": -1, "grpc_tls": -1 },
          "limits": { "http_max_conns_per_client": 10000 } }
        """
      let file = "\(folder)/consul\(server).json"
      try text.write(toFile: file, atomically: false, encoding: .utf8)
      processes.append(
        try ChildProcess.start(
          program,
          [
            program, "agent", "-server", "-bootstrap-expect", "3", "-node", "c\(server)",
            "-bind", "127.0.0.1", "-data-dir", "\(folder)/consul\(server)",
            "-config-file", file, "-log-level", "error",
          ] + joins, log: "\(folder)/consul\(server).log"))
      add(own[0])
    }
  }

  // MARK: Ready

  private func awaitPorts() throws {
    let end = croost_monotonic() + 30_000_000_000
    while croost_monotonic() < end {
      if isServing { return }
      usleep(50_000)
    }
    throw CommandFailure("\(kind.rawValue) does not come up")
  }

  /// One request of the kind that will be measured is answered.
  private var isServing: Bool {
    for address in addresses {
      var options = LoadRun.Options(addresses: [address])
      options.connections = 1
      options.requestsMax = 1
      options.seconds = 2
      options.work = work(.put) ?? work(.path) ?? LoadWork()
      guard let run = try? LoadRun(options), run.run().errors == 0 else { return false }
    }
    return true
  }

  /// How this system does such work; nil when it does not.
  func work(_ kind: LoadWork.Kind, isStale: Bool = false) -> LoadWork? {
    var work = LoadWork()
    work.kind = kind
    switch self.kind {
    case .nginx:
      guard kind == .path || kind == .get else { return nil }
      work.kind = .path
    case .etcd:
      guard kind == .put || kind == .get else { return nil }
      work.wire = .etcd
      work.isSerializable = isStale
    case .consul:
      guard kind != .path else { return nil }
      work.readQuery = isStale ? "?stale" : "?consistent"
    }
    return work
  }

  /// The position of the leader; 0 where there is none or it does not matter.
  func leader() -> Int {
    guard kind == .etcd else { return 0 }
    // etcd's JSON gateway tells the leader's member id and one's own.
    for (index, address) in addresses.enumerated() {
      guard let roost = try? Roost(addresses: ["\(address)"]),
        let answer = try? roost.request("POST", "/v3/maintenance/status", body: Array("{}".utf8)),
        let object = try? JSONSerialization.jsonObject(with: Data(answer.body)) as? [String: Any],
        let leader = object["leader"] as? String,
        let header = object["header"] as? [String: Any]
      else { continue }
      if header["member_id"] as? String == leader { return index }
    }
    return 0
  }
}
