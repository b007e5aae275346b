internal import Basics

/// Makes the answer to one question out of a data source. No sockets and no clock: bytes in, bytes
/// out.
///
/// What is not answered here is said by `Disposition`: names outside the domain may go to
/// recursors, and so may host names that a service has for its address.
package struct DNSAnswers {
  package enum Transport: Sendable { case udp, tcp }

  package enum Disposition: Equatable {
    /// `message` is the answer.
    case answered
    /// Outside the domain, and there are recursors to ask.
    case forward
    /// `message` is an answer that ends in this host name: its addresses are known to recursors.
    case chase(DNSName, ttl: UInt32)
  }

  /// One of the domains that are answered, and names made of it.
  struct Zone {
    let name: DNSName
    let nodes: DNSName?
    let services: DNSName?
    let addresses: DNSName?
    let nameServer: DNSName
    let hostmaster: DNSName

    init(_ name: DNSName, datacenter: String) {
      self.name = name
      let local = DNSName(datacenter, under: name)
      nodes = local.flatMap { DNSName("node", under: $0) }
      services = local.flatMap { DNSName("service", under: $0) }
      addresses = local.flatMap { DNSName("addr", under: $0) }
      nameServer = DNSName("ns", under: name) ?? name
      hostmaster = DNSName("hostmaster", under: name) ?? name
    }
  }

  let options: DNSOptions
  private let zones: [Zone]
  private let datacenter: String
  private let arpa = DNSName(unchecked: [4] + Array("arpa".utf8) + [0])
  var random: SplitMix
  var writer = DNSWriter()
  /// Of the question at hand.
  var bytesMax = 0
  var answersMax = 0
  var wasTrimmed = false

  /// Consul's `maxUDPAnswerLimit`.
  private static let udpAnswersMax = 8
  static let plainUDPBytesMax = 512
  /// What fits into an IPv4 datagram.
  private static let datagramBytesMax = 65_507

  package init(options: DNSOptions, seed: UInt64) {
    self.options = options
    datacenter = options.datacenter.lowercased()
    let domains = [options.domain] + (options.alternativeDomain.map { [$0] } ?? [])
    zones = domains.map { Zone($0, datacenter: options.datacenter.lowercased()) }
    random = SplitMix(seed: seed)
  }

  /// The last answer made.
  package var message: [UInt8] { writer.bytes }

  /// - Parameter time: seconds since 1970, the serial number of the zone.
  package mutating func respond(
    to query: DNSQuery, over transport: Transport, from source: any DNSDataSource, time: UInt32
  ) -> Disposition {
    begin(query, transport)
    let type = query.question.type
    if let edns = query.edns, edns.version > 0 { return fail(.badVersion, query) }
    guard
      query.question.recordClass == DNSClass.internet
        || query.question.recordClass == DNSClass.any
    else { return fail(.refused, query) }
    if type == DNSType.ptr, query.question.name.labelCount(under: arpa) != nil {
      return reverse(query, source)
    }
    guard let zone = zone(of: query.question.name) else {
      return options.recursors.isEmpty ? fail(.refused, query) : .forward
    }
    guard isFresh(source) else { return fail(.serverFailure, query) }
    writer.set(DNSFlags.authoritative)
    var disposition = Disposition.answered
    switch type {
    case DNSType.soa:
      startOfAuthority(.answer, zone, time)
      nameServers(.authority, zone, query, source)
    case DNSType.ns:
      nameServers(.answer, zone, query, source)
    case DNSType.axfr, DNSType.ixfr:
      return fail(.notImplemented, query)
    default:
      disposition = lookUp(query, zone, source, time)
    }
    finish(query, .noError)
    return disposition
  }

  /// The longest domain that the name is in.
  private func zone(of name: DNSName) -> Zone? {
    var best: Zone?
    for zone in zones where name.labelCount(under: zone.name) != nil {
      if zone.name.wire.count > best?.name.wire.count ?? 0 { best = zone }
    }
    return best
  }

  private func isFresh(_ source: any DNSDataSource) -> Bool {
    switch source.age {
    case .unknown: false
    case .milliseconds(let age): age <= options.staleMillisecondsMax
    }
  }

  private mutating func lookUp(
    _ query: DNSQuery, _ zone: Zone, _ source: any DNSDataSource, _ time: UInt32
  ) -> Disposition {
    let name = query.question.name
    let count = name.labelCount(under: zone.name) ?? 0
    let labels = Array(name.foldedLabels.prefix(count))
    var exists = true
    var disposition = Disposition.answered
    switch DNSLookup(labels, type: query.question.type, datacenter: datacenter) {
    case .service(let service, let tag):
      let instances = selected(source.instances(ofService: service), tag: tag)
      exists = !instances.isEmpty
      disposition = answer(
        instances, nearCount: 0, query, zone, ttl: options.ttl(ofService: service))
      if exists, writer.recordCount(.answer) == 0, !wasTrimmed {
        startOfAuthority(.authority, zone, time)
      }
    case .preparedQuery(let name):
      let prepared = source.preparedQuery(name)
      exists = !(prepared?.instances.isEmpty ?? true)
      if exists, let prepared {
        let ttl = prepared.ttl ?? options.ttl(ofService: prepared.service.lowercased())
        disposition = answer(
          prepared.instances, nearCount: prepared.nearCount, query, zone, ttl: ttl)
        if writer.recordCount(.answer) == 0, !wasTrimmed {
          startOfAuthority(.authority, zone, time)
        }
      }
    case .node(let node):
      let found = source.node(named: node)
      exists = found != nil
      if let found { disposition = answer(found, query) }
    case .address(let digits):
      if let ip = DNSReverse.hexadecimal(digits), wants(ip, query.question.type) {
        writer.address(.answer, name, ip, ttl: options.nodeTTL)
      }
    case .unknown:
      exists = false
    }
    if !exists {
      writer.set(DNSCode.nameError.rawValue)
      startOfAuthority(.authority, zone, time)
    }
    return disposition
  }

  private func selected(_ instances: [DNSInstance], tag: String?) -> [DNSInstance] {
    guard tag != nil || options.isOnlyPassing else { return instances }
    return instances.filter { instance in
      (tag.map { instance.foldedTags.contains($0) } ?? true)
        && (instance.isPassing || !options.isOnlyPassing)
    }
  }

  // MARK: The frame of a message

  private mutating func begin(_ query: DNSQuery, _ transport: Transport) {
    let udpBytes = max(Int(query.edns?.payloadBytes ?? 0), Self.plainUDPBytesMax)
    switch transport {
    case .udp:
      bytesMax = min(udpBytes, Self.datagramBytesMax)
      answersMax =
        udpBytes == Self.plainUDPBytesMax ? min(options.udpAnswerLimit, Self.udpAnswersMax) : .max
    case .tcp:
      bytesMax = DNSWriter.messageBytesMax
      answersMax = .max
    }
    if query.edns != nil { bytesMax -= DNSWriter.optBytes }
    wasTrimmed = false
    writer.begin(id: query.id, flags: DNSFlags.response | query.flags & DNSFlags.recursionDesired)
    if !options.recursors.isEmpty { writer.set(DNSFlags.recursionAvailable) }
    writer.question(query.question)
  }

  private mutating func finish(_ query: DNSQuery, _ code: DNSCode) {
    writer.set(code.rawValue & DNSFlags.code)
    // Never silent about instances that are there: what does not fit at all is worth asking TCP.
    let isCutToNothing = wasTrimmed && writer.recordCount(.answer) == 0
    if isCutToNothing || (wasTrimmed && options.isTruncationEnabled) {
      writer.set(DNSFlags.truncated)
    }
    if let edns = query.edns { writer.options(payloadBytes: edns.payloadBytes, code: code) }
    writer.finish()
  }

  private mutating func fail(_ code: DNSCode, _ query: DNSQuery) -> Disposition {
    writer.rollBackToQuestion()
    writer.clear(DNSFlags.authoritative)
    finish(query, code)
    return .answered
  }

  /// An answer that only says that it failed, for what went wrong before or beside the answers.
  package mutating func refuse(_ query: DNSQuery, _ code: DNSCode) {
    begin(query, .udp)
    finish(query, code)
  }

  /// To something whose question could not be read.
  package mutating func refuse(id: UInt16, flags: UInt16, _ code: DNSCode) {
    let copied = flags & (DNSFlags.opcode | DNSFlags.recursionDesired)
    writer.begin(id: id, flags: DNSFlags.response | copied | code.rawValue)
    writer.finish()
  }

  /// "Come again over TCP", no longer than the question.
  package mutating func deflect(_ query: DNSQuery) {
    begin(query, .udp)
    writer.set(DNSFlags.truncated)
    finish(query, .noError)
  }

  /// Adds what recursors know about `target` to an answer that ends in it.
  package mutating func complete(
    _ query: DNSQuery, over transport: Transport, target: DNSName, ttl: UInt32,
    addresses: [[UInt8]]
  ) {
    begin(query, transport)
    writer.set(DNSFlags.authoritative)
    writer.alias(.answer, query.question.name, DNSType.cname, target, ttl: ttl)
    for ip in addresses where wants(ip, query.question.type) {
      let mark = writer.mark
      writer.address(.answer, target, ip, ttl: ttl)
      guard writer.count <= bytesMax else {
        writer.rollBack(to: mark)
        wasTrimmed = true
        break
      }
    }
    finish(query, .noError)
  }

  // MARK: Zone records

  private mutating func startOfAuthority(
    _ section: DNSWriter.Section, _ zone: Zone, _ time: UInt32
  ) {
    writer.begin(section, zone.name, DNSType.soa, ttl: 0)
    writer.name(zone.nameServer)
    writer.name(zone.hostmaster)
    // Serial, refresh, retry, expire, minimum TTL: Consul's (21.8).
    for value in [time, 3600, 600, 86_400, 0] { writer.u32(value) }
    writer.end()
  }

  /// Up to three of the servers, with their addresses.
  private mutating func nameServers(
    _ section: DNSWriter.Section, _ zone: Zone, _ query: DNSQuery, _ source: any DNSDataSource
  ) {
    guard let nodes = zone.nodes else { return }
    var glue: [(name: DNSName, ip: [UInt8])] = []
    let servers = source.instances(ofService: "consul")
    var order = ShuffledIndices(count: servers.count, random.next())
    var written = 0
    while written < 3, let index = order.next() {
      guard let name = DNSName(servers[index].node, under: nodes) else { continue }
      writer.alias(section, zone.name, DNSType.ns, name, ttl: options.nodeTTL)
      if case .ip(let ip) = servers[index].address { glue.append((name, ip)) }
      written += 1
    }
    for (name, ip) in glue {
      let mark = writer.mark
      writer.address(.additional, name, ip, ttl: options.nodeTTL)
      if writer.count > bytesMax { writer.rollBack(to: mark) }
    }
  }

  private mutating func reverse(
    _ query: DNSQuery, _ source: any DNSDataSource
  ) -> Disposition {
    guard isFresh(source) else { return fail(.serverFailure, query) }
    let owner = DNSReverse.address(query.question.name.foldedLabels)
      .flatMap { source.owner(ofAddress: $0) }
    guard let owner, let zone = zones.first, let nodes = zone.nodes, let services = zone.services
    else { return options.recursors.isEmpty ? fail(.serverFailure, query) : .forward }
    let target =
      switch owner {
      case .node(let name): DNSName(name, under: nodes)
      case .service(let name): DNSName(name, under: services)
      }
    writer.set(DNSFlags.authoritative)
    if let target {
      writer.alias(.answer, query.question.name, DNSType.ptr, target, ttl: 0)
    }
    finish(query, .noError)
    return .answered
  }
}
