import DNS
import EventLoop
import Node

/// The node's DNS server, as its configuration wants it.
enum AgentDNS {
  /// Nil when it is switched off.
  static func start(_ node: Node) throws(StartFailure) -> DNSServer? {
    let configuration = node.configuration
    guard configuration.ports.dns >= 0 else { return nil }
    guard
      let address = SocketAddress(
        host: configuration.clientAddress, port: UInt16(clamping: configuration.ports.dns))
    else { throw StartFailure("client_addr \(configuration.clientAddress) is not an IP address") }
    let options = try options(configuration)
    do throws(SystemError) {
      let server = try DNSServer(
        address: address, loop: node.loop, options: options, source: RegistryDNS(node: node))
      count(server, node.metrics)
      return server
    } catch {
      throw StartFailure(
        "cannot listen for DNS: \(error). Is another node or Consul running there? Stop it, or "
          + "give this node another port (ports.dns, flag --ports.dns; -1 switches DNS off)")
    }
  }

  private static func options(
    _ configuration: NodeConfiguration
  ) throws(StartFailure) -> DNSOptions {
    guard let domain = DNSName(configuration.domain) else {
      throw StartFailure("domain \(configuration.domain) is not a domain name")
    }
    let settings = configuration.dns
    var options = DNSOptions(domain: domain)
    options.datacenter = configuration.datacenter
    options.alternativeDomain = configuration.alternativeDomain.flatMap { DNSName($0) }
    options.nodeTTL = settings.nodeTTL
    options.serviceTTL = settings.serviceTTL.map { ($0.service, $0.seconds) }
    options.isOnlyPassing = settings.isOnlyPassing
    options.udpAnswerLimit = settings.udpAnswerLimit
    options.isTruncationEnabled = settings.isTruncationEnabled
    options.staleMillisecondsMax = settings.staleMillisecondsMax
    options.isStaleAllowed = settings.isStaleAllowed
    options.recursors = configuration.recursors
    options.recursorTimeoutNanoseconds = settings.recursorTimeoutMilliseconds * 1_000_000
    return options
  }

  private static func count(_ server: DNSServer, _ metrics: Metrics) {
    func gauge(_ name: String, _ read: @escaping (DNSServer.Counters) -> UInt64) {
      metrics.gauge(name) { [weak server] in server.map { Double(read($0.counters)) } ?? 0 }
    }
    gauge("roost.dns.questions") { $0.questions }
    gauge("roost.dns.malformed") { $0.malformed }
    gauge("roost.dns.failures") { $0.failures }
    gauge("roost.dns.forwarded") { $0.forwarded }
    gauge("roost.dns.deflected") { $0.deflected }
    gauge("roost.dns.connections_refused") { $0.connectionsRefused }
    gauge("roost.dns.connections") { UInt64($0.connectionsOpen) }
  }
}
