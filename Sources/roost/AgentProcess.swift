internal import CRoost
internal import ConsulAPI
internal import DNS
internal import EventLoop
internal import Glibc
internal import HTTP
internal import Node

/// One node's process: the loop, the node, its duties and API, and the signals that end it.
///
/// SIGTERM and SIGINT stop it gracefully: leadership is handed over, what is under way is answered,
/// the log is flushed; a second one ends it at once. Exit status: 0 after a graceful stop, 1 when it
/// could not start or its disk failed.
final class AgentProcess {
  /// Answers under way get this long; a client that reads slower is cut off.
  private static let drainNanoseconds: UInt64 = 3_000_000_000

  private let loop: EventLoop
  private let node: Node
  private let duties: Duties
  /// HTTP on the node's own loop, or on threads of its own (`io_threads`).
  private var api: ConsulAPI<Node>?
  private var server: HTTPServer?
  private var threads: HTTPThreads?
  private var dns: DNSServer?
  private var signals: SignalSource?
  private var status: Int32 = 0
  private var isStopping = false
  private var startsAgain = false
  private var pendingStops = 0
  private var reread: () -> NodeConfiguration? = { nil }

  /// - Parameter reread: the configuration as it is now, for a reload; nil: it cannot be read.
  static func run(
    _ configuration: NodeConfiguration, reread: @escaping () -> NodeConfiguration? = { nil }
  ) throws(CommandFailure) -> Int32 {
    croost_ignore_sigpipe()
    croost_raise_descriptor_limit()
    HeapPages.prepare()
    let process: AgentProcess
    do {
      process = try AgentProcess(configuration)
      process.reread = reread
    } catch let failure as StartFailure {
      throw CommandFailure("\(configuration.nodeName) cannot start: \(failure.message)")
    } catch {
      throw CommandFailure("\(configuration.nodeName) cannot start: \(error)")
    }
    return process.serve()
  }

  private init(_ configuration: NodeConfiguration) throws {
    loop = try EventLoop()
    // Before any thread is started: threads inherit the blocked signals.
    let relay = SignalRelay()
    signals = try SignalSource([SIGTERM, SIGINT, SIGHUP], loop: loop) { relay.handle?($0) }
    node = try Node(configuration: configuration, loop: loop)
    let api = ConsulAPI.make(node: node)
    var options = Duties.Options()
    do throws(ConsulAPI<Node>.DefinitionFault) {
      options.registrations = try api.localRegistrations()
    } catch {
      throw StartFailure("configuration: \(error.message)")
    }
    duties = Duties(node: node, options: options)
    if configuration.ports.http >= 0 { try startHTTP(api) }
    let heapPages = HeapPages()
    node.hooks.coarseTick.append { heapPages.tend() }
    dns = try AgentDNS.start(node)
    relay.handle = { [unowned self] signal in
      if signal == SIGHUP { reload() } else { stop() }
    }
    node.onRebuild = { [unowned self] _ in
      startsAgain = true
      loop.stop()
    }
    node.onFatal = { [unowned self] message in
      node.logger.log(.error, "node", message)
      status = 1
      loop.stop()
    }
  }

  private func startHTTP(_ api: ConsulAPI<Node>) throws {
    let configuration = node.configuration
    guard
      let address = SocketAddress(
        host: configuration.clientAddress, port: UInt16(configuration.ports.http))
    else { throw StartFailure("client_addr \(configuration.clientAddress) is not an IP address") }
    do throws(SystemError) {
      if configuration.ioThreads > 0 {
        let threads = try HTTPThreads(node: node, address: address, count: configuration.ioThreads)
        threads.onLeave = { [unowned self] in leave() }
        threads.onReload = { [unowned self] in reload() }
        self.threads = threads
      } else {
        server = try api.serve(address: address, loop: loop)
        api.onLeave = { [unowned self] in leave() }
        api.onReload = { [unowned self] in reload() }
        self.api = api
      }
    } catch {
      throw StartFailure(
        "cannot listen for HTTP: \(error). Is another node or Consul running there? "
          + "Stop it, or give this node another port (ports.http, flag --ports.http)")
    }
  }

  private func serve() -> Int32 {
    let configuration = node.configuration
    node.logger.log(
      .info, "agent", "Roost v\(Node.version) starts",
      [
        ("node", configuration.nodeName), ("cluster", configuration.cluster),
        ("http", (server?.localAddress ?? threads?.localAddress)?.description ?? "off"),
        ("dns", dns?.localAddress.description ?? "off"),
        ("peer", "\(configuration.bindAddress):\(configuration.ports.peer)"),
        ("data", configuration.dataDirectory ?? "in memory"),
      ])
    if getuid() == 0 {
      node.logger.log(.debug, "agent", "runs as root, which it does not need")
    }
    let pidFile = configuration.dataDirectory.map { PidFile($0 + "/pid") }
    pidFile?.write(node.logger)
    node.start()
    loop.run()
    threads?.end()
    if isStopping { pidFile?.remove() }
    return startsAgain ? Self.startAgain() : status
  }

  /// The same process, from its beginning: its descriptors close with it, the data directory's lock
  /// among them.
  private static func startAgain() -> Int32 {
    let words: [UnsafeMutablePointer<CChar>?] =
      unsafe CommandLine.arguments.map { unsafe strdup($0) } + [nil]
    // Sound: the C strings live until the process image is replaced.
    unsafe execv("/proc/self/exe", words)
    Console.printError("roost agent: cannot start again: errno \(errno)")
    return 1
  }

  private func stop() {
    guard !isStopping else {
      status = 1
      return loop.stop()
    }
    isStopping = true
    node.logger.log(.info, "agent", "stops: hands over, answers what is under way, flushes")
    duties.stop()
    dns?.close()
    pendingStops = server == nil && threads == nil ? 1 : 2
    let stopNode = { [unowned self] in node.stop { [unowned self] in oneStopped() } }
    guard let threads else {
      stopNode()
      server?.drain(graceNanoseconds: Self.drainNanoseconds) { [unowned self] in oneStopped() }
      return
    }
    threads.drain(graceNanoseconds: Self.drainNanoseconds, begun: stopNode) { [unowned self] in
      oneStopped()
    }
  }

  /// Out of the cluster, then stopped. A leader hands over on its way; the last voter only stops,
  /// since the cluster would be gone without it.
  private func leave() {
    let others = node.status.members.filter { $0.isVoter && $0.id != node.id }
    guard !isStopping, !others.isEmpty else { return stop() }
    node.logger.log(.info, "agent", "leaves the cluster")
    guard node.status.role == .leader else { return removeAndStop() }
    node.transferLeadership(to: nil) { [unowned self] _ in removeAndStop() }
  }

  private func removeAndStop() {
    node.removePeer(node.id) { [unowned self] failure in
      if let failure {
        node.logger.log(.warning, "agent", "was not removed, and stops: \(failure)")
      }
      if !isStopping { stop() }
    }
  }

  /// The log's level is what can change while a node runs.
  private func reload() {
    guard let configuration = reread() else {
      return node.logger.log(
        .warning, "agent", "the configuration cannot be read: all stays as it was")
    }
    node.logger.control.level = configuration.logLevel
    node.logger.log(
      .info, "agent", "configuration read again", [("log_level", configuration.logLevel.rawValue)])
  }

  private func oneStopped() {
    pendingStops -= 1
    guard pendingStops == 0 else { return }
    if !node.hasEndedCleanly { status = 1 }
    loop.stop()
  }
}

/// Lets the signal source exist before the process object that it tells.
private final class SignalRelay {
  var handle: ((Int32) -> Void)?
}

/// Tells who runs on a data directory: `kill $(cat DATA_DIR/pid)`. Stays behind after a crash; the
/// lock on the directory, not this file, keeps two nodes apart.
private struct PidFile {
  private let path: String
  init(_ path: String) { self.path = path }

  func write(_ logger: Logger) {
    do {
      try Console.writeFile(path, Array("\(getpid())\n".utf8))
    } catch {
      logger.log(.warning, "agent", error.message)
    }
  }

  func remove() { _ = unsafe unlink(path) }
}
