internal import Basics

/// The records of services and nodes, cut to what the client takes.
///
/// Instances are drawn in a random order, one after the other, until the answer is full: an answer
/// of three out of five thousand touches few of them. A record is written, measured and taken back
/// when it does not fit; additional records are counted in from the start, since an answer and its
/// address come together or not at all (consul-api.md 21.13).
extension DNSAnswers {
  func wants(_ ip: [UInt8], _ type: UInt16) -> Bool {
    type == DNSType.any || type == (ip.count == 4 ? DNSType.a : DNSType.aaaa)
  }

  mutating func answer(
    _ instances: [DNSInstance], nearCount: Int, _ query: DNSQuery, _ zone: Zone, ttl: UInt32
  ) -> Disposition {
    let order = ShuffledIndices(count: instances.count, first: nearCount, random.next())
    if query.question.type == DNSType.srv {
      services(instances, order, query.question.name, zone, ttl)
      return .answered
    }
    return addresses(instances, order, query, ttl)
  }

  // MARK: Addresses

  private mutating func addresses(
    _ instances: [DNSInstance], _ indices: ShuffledIndices, _ query: DNSQuery, _ ttl: UInt32
  ) -> Disposition {
    var order = indices
    // Only asked whether an address was given already.
    var seen: Set<[UInt8]> = []
    var alias: String?
    while let index = order.next() {
      switch instances[index].address {
      case .name(let host):
        if alias == nil { alias = host }
      case .ip(let ip):
        guard wants(ip, query.question.type), seen.insert(ip).inserted else { continue }
        guard addAddress(ip, query.question.name, ttl) else { return .answered }
      }
    }
    guard seen.isEmpty, let alias else { return .answered }
    return cname(alias, query, ttl)
  }

  /// False: it did not fit, nor will others.
  private mutating func addAddress(_ ip: [UInt8], _ owner: DNSName, _ ttl: UInt32) -> Bool {
    guard writer.recordCount(.answer) < answersMax else {
      wasTrimmed = true
      return false
    }
    let mark = writer.mark
    writer.address(.answer, owner, ip, ttl: ttl)
    guard writer.count <= bytesMax else {
      writer.rollBack(to: mark)
      wasTrimmed = true
      return false
    }
    return true
  }

  /// A host name as address: a CNAME, which recursors may know more about.
  private mutating func cname(_ host: String, _ query: DNSQuery, _ ttl: UInt32) -> Disposition {
    guard let target = DNSName(host) else { return .answered }
    writer.alias(.answer, query.question.name, DNSType.cname, target, ttl: ttl)
    let type = query.question.type
    let isAddress = type == DNSType.a || type == DNSType.aaaa
    return isAddress && !options.recursors.isEmpty ? .chase(target, ttl: ttl) : .answered
  }

  // MARK: Services

  private struct Endpoint: Hashable {
    let node: String
    let address: DNSAddress
    let port: UInt16
  }

  private mutating func services(
    _ instances: [DNSInstance], _ indices: ShuffledIndices, _ owner: DNSName, _ zone: Zone,
    _ ttl: UInt32
  ) {
    var order = indices
    var seen: Set<Endpoint> = []
    var glue: [(name: DNSName, ip: [UInt8])] = []
    var glueBytes = 0
    while let index = order.next() {
      let instance = instances[index]
      let endpoint = Endpoint(
        node: instance.node, address: instance.address, port: instance.port)
      guard seen.insert(endpoint).inserted, let target = target(of: instance, zone) else {
        continue
      }
      guard writer.recordCount(.answer) < answersMax else {
        wasTrimmed = true
        break
      }
      let mark = writer.mark
      writer.service(
        owner, priority: 1, weight: instance.weight, port: instance.port, target: target, ttl: ttl)
      var added = 0
      // One for each answer, also when several have one target, as Consul does: HAProxy gives each
      // server the address of an additional record of its own.
      if case .ip(let ip) = instance.address {
        added = writer.encodedCount(target) + 10 + ip.count
      }
      guard writer.count + glueBytes + added <= bytesMax else {
        writer.rollBack(to: mark)
        wasTrimmed = true
        break
      }
      if added > 0, case .ip(let ip) = instance.address {
        glueBytes += added
        glue.append((target, ip))
      }
    }
    for (name, ip) in glue { writer.address(.additional, name, ip, ttl: ttl) }
  }

  /// The node's name when its address applies, else a name made of the address. Also when the
  /// node's name cannot be written as a domain name: a healthy instance is never left out for it.
  private func target(of instance: DNSInstance, _ zone: Zone) -> DNSName? {
    guard case .ip(let ip) = instance.address else {
      guard case .name(let host) = instance.address else { return nil }
      return DNSName(host)
    }
    if !instance.hasOwnAddress, let nodes = zone.nodes,
      let name = DNSName(instance.node, under: nodes)
    {
      return name
    }
    return zone.addresses.flatMap { DNSName(DNSReverse.hexadecimal(ip), under: $0) }
  }

  // MARK: Nodes

  mutating func answer(_ node: DNSNode, _ query: DNSQuery) -> Disposition {
    let (owner, type) = (query.question.name, query.question.type)
    var disposition = Disposition.answered
    switch node.address {
    case .ip(let ip):
      if wants(ip, type) { _ = addAddress(ip, owner, options.nodeTTL) }
    case .name(let host):
      if type != DNSType.txt { disposition = cname(host, query, options.nodeTTL) }
    }
    guard type == DNSType.txt || type == DNSType.any else { return disposition }
    for (key, value) in node.meta {
      // RFC 1464 wants key=value; a key that says so gives the bare text of RFC 1035.
      let text = key.lowercased().hasPrefix("rfc1035-") ? value : "\(key)=\(value)"
      let mark = writer.mark
      writer.text(.answer, owner, Array(text.utf8), ttl: options.nodeTTL)
      guard writer.count <= bytesMax else {
        writer.rollBack(to: mark)
        wasTrimmed = true
        break
      }
    }
    return disposition
  }
}

/// The numbers below `count` in a random order, drawn one by one (Fisher–Yates, as far as asked);
/// those below `first` come before the others.
struct ShuffledIndices {
  private var indices: [Int32]
  private let first: Int
  private var position = 0
  private var random: SplitMix

  init(count: Int, first: Int = 0, _ seed: UInt64) {
    indices = (0..<Int32(clamping: count)).map { $0 }
    self.first = min(max(first, 0), indices.count)
    random = SplitMix(seed: seed)
  }

  mutating func next() -> Int? {
    guard position < indices.count else { return nil }
    let end = position < first ? first : indices.count
    let other = position + Int(random.below(UInt64(end - position)))
    indices.swapAt(position, other)
    position += 1
    return Int(indices[position - 1])
  }
}
