package import EventLoop
package import Raft

/// What the transport tells the node; always on the loop's thread.
package protocol PeerTransportDelegate: AnyObject {
  func transport(_ transport: PeerTransport, didReceive message: Message, from peer: NodeID)
  /// A frame of the node's own making: forwards, replies, check duty. `kind` is the sender's.
  func transport(
    _ transport: PeerTransport, didReceiveFrame kind: UInt8, payload: [UInt8],
    from origin: PeerOrigin)
  func transport(_ transport: PeerTransport, linkDidChange state: PeerLinkState, peer: NodeID)
  /// A handshake is complete, on a connection of either direction.
  func transport(_ transport: PeerTransport, didHear hello: PeerHello, from origin: PeerOrigin)
  /// The probe's connection is gone; `error` says why in words, nil when this side closed it.
  func transport(_ transport: PeerTransport, probeDidEnd probe: ProbeID, error: String?)
  /// For the log; bounded by `PeerLimits.rejectionsPerSecondMax`.
  func transport(_ transport: PeerTransport, rejected rejection: PeerRejection)
}

/// The connections of one node with all others.
///
/// Every node dials two connections to each peer, one for Raft messages and frames and one for
/// bulk, and accepts theirs; what it has to say travels only on those it dialed. So each direction
/// of a pair fails and heals by itself, and a lost connection says something about the peer, not
/// about who happened to dial. Probes are connections to addresses whose node is not known yet;
/// they carry frames both ways.
package final class PeerTransport {
  package weak var delegate: (any PeerTransportDelegate)?
  /// Where it listens, with the port that the kernel chose.
  package private(set) var localAddress: SocketAddress
  package private(set) var identity: PeerIdentity
  /// Rejections of all kinds, the ones not told to the delegate included.
  package private(set) var rejections: UInt64 = 0

  /// The last log entry on the disk, for handshakes.
  package var persistedIndex: UInt64 = 0
  /// Asked at each handshake whether the other side is who it was: says what is wrong with it.
  package var doubts: ((PeerIdentity) -> PeerDoubt?)?

  let loop: EventLoop
  let limits: PeerLimits
  private var advertised: (host: String, port: UInt16)?
  private var listener: TCPListener?
  private var resolver: Resolver?
  private var workers: Workers?
  /// Sorted by id.
  private var links: [PeerLink] = []
  /// Accepted, whatever they are for; unordered.
  private var accepted: [PeerConnection] = []
  /// Probes of either direction; few.
  private var probes: [(id: ProbeID, connection: PeerConnection?)] = []
  private var nextProbe: UInt64 = 1
  private var ticker: TimerID?
  private var isClosed = false
  private var sharedAppend = SharedAppend()
  private var rejectionSecond: UInt64 = 0
  private var rejectionsInSecond = 0

  /// Listens at once. `advertised` is what others are told; nil: the listen address. `workers`
  /// resolve host names; nil: one thread of its own, when the first name comes.
  package init(
    loop: EventLoop, identity: PeerIdentity, listenAddress: SocketAddress,
    advertised: (host: String, port: UInt16)? = nil, limits: PeerLimits = PeerLimits(),
    workers: Workers? = nil, delegate: any PeerTransportDelegate
  ) throws(SystemError) {
    self.loop = loop
    self.identity = identity
    self.limits = limits
    self.advertised = advertised
    self.workers = workers
    self.delegate = delegate
    localAddress = listenAddress
    let listener = try TCPListener(
      address: listenAddress, loop: loop, options: PeerConnection.acceptOptions
    ) { [weak self] tcp in self?.accept(tcp) }
    self.listener = listener
    localAddress = listener.localAddress
    scheduleTick()
  }

  deinit { close() }

  /// Later handshakes use it; connections that exist stay.
  package func updateIdentity(_ identity: PeerIdentity) { self.identity = identity }

  package func close() {
    guard !isClosed else { return }
    isClosed = true
    if let ticker { loop.cancel(ticker) }
    listener?.close()
    listener = nil
    for link in links { link.close() }
    links = []
    let open = accepted + probes.compactMap(\.connection)
    accepted = []
    probes = []
    for connection in open { connection.close() }
  }

  // MARK: Peers

  /// The peers to be connected with from now on: adds, removes, follows changed addresses.
  package func setPeers(_ peers: [PeerAddress]) {
    guard !isClosed else { return }
    let wanted = peers.filter { $0.id != identity.nodeID }
    for link in links where !wanted.contains(where: { $0.id == link.address.id }) { link.close() }
    links.removeAll { link in !wanted.contains { $0.id == link.address.id } }
    for address in wanted {
      guard let link = link(address.id) else {
        let link = PeerLink(address, transport: self)
        links.append(link)
        link.lines.forEach { $0.dial() }
        continue
      }
      let hasMoved = link.address.host != address.host || link.address.port != address.port
      link.address = address
      if hasMoved { link.lines.forEach { $0.restart() } }
    }
    links.sort { $0.address.id < $1.address.id }
  }

  private func link(_ peer: NodeID) -> PeerLink? {
    for link in links where link.address.id == peer { return link }
    return nil
  }

  /// The connection that this node dialed is up.
  package func isConnected(_ peer: NodeID) -> Bool { link(peer)?.raft.isOpen ?? false }

  package func counters(of peer: NodeID) -> PeerCounters? { link(peer)?.currentCounters }

  // MARK: Sending

  /// Leaves at the end of the turn, or is dropped and counted when it cannot.
  package func send(_ message: Message, to peer: NodeID) {
    guard let link = link(peer) else { return }
    link.send(message, on: link.raft, queueBytesMax: limits.queueBytesMax)
  }

  /// All that is to be said at one time, in order. Entries that several peers get are encoded once.
  package func send(_ envelopes: [Envelope]) {
    for envelope in envelopes {
      switch envelope.message {
      case .append(let append) where !append.entries.isEmpty && envelopes.count > 1:
        guard let link = link(envelope.to) else { continue }
        link.send(sharedAppend.frame(of: append, limits), queueBytesMax: limits.queueBytesMax)
      case .snapshotChunk: sendBulk(envelope.message, to: envelope.to)
      default: send(envelope.message, to: envelope.to)
      }
    }
    sharedAppend.forget()
  }

  /// For snapshot chunks: a connection of its own, so that heartbeats never wait behind them.
  private func sendBulk(_ message: Message, to peer: NodeID) {
    guard let link = link(peer) else { return }
    link.send(message, on: link.bulk, queueBytesMax: limits.bulkQueueBytesMax)
  }

  /// False: there is no link, its queue is full, or the payload is too long.
  package func sendFrame(kind: UInt8, payload: [UInt8], to peer: NodeID) -> Bool {
    link(peer)?.sendFrame(kind: kind, payload: payload, queueBytesMax: limits.queueBytesMax)
      ?? false
  }

  /// On a probe of either direction.
  package func sendFrame(kind: UInt8, payload: [UInt8], toProbe probe: ProbeID) -> Bool {
    guard let connection = probes.first(where: { $0.id == probe })?.connection,
      connection.queueBytes == 0 || connection.queueBytes + payload.count < limits.queueBytesMax
    else { return false }
    return connection.send(kind: kind, payload: payload) != nil
  }

  /// Sends a frame back to where one came from.
  package func reply(kind: UInt8, payload: [UInt8], to origin: PeerOrigin) -> Bool {
    switch origin {
    case .node(let peer): sendFrame(kind: kind, payload: payload, to: peer)
    case .probe(let probe): sendFrame(kind: kind, payload: payload, toProbe: probe)
    }
  }

  // MARK: Probes

  /// Connects to an address whose node is not known; the delegate hears its hello or the end.
  package func probe(host: String, port: UInt16) -> ProbeID {
    let id = makeProbeID()
    guard !isClosed, probes.count < limits.probesMax else {
      loop.schedule(after: 0) { [weak self] in
        self?.probeEnded(id, "too many probes are under way")
      }
      return id
    }
    probes.append((id, nil))
    resolve(host: host, port: port) { [weak self] answer in
      guard let self, let index = self.probes.firstIndex(where: { $0.id == id }) else { return }
      switch answer {
      case .success(let address):
        let connection = PeerConnection.dial(
          address, purpose: .probe, target: nil, loop: self.loop, limits: self.limits, owner: self)
        connection.probe = id
        self.probes[index].connection = connection
      case .failure(let failure):
        // Never from within `probe` itself: the caller does not know the id yet.
        self.loop.schedule(after: 0) { [weak self] in self?.endProbe(id, failure.description) }
      }
    }
    return id
  }

  package func closeProbe(_ probe: ProbeID) {
    guard let index = probes.firstIndex(where: { $0.id == probe }) else { return }
    let connection = probes.remove(at: index).connection
    connection?.close()
    accepted.removeAll { $0 === connection }
  }

  private func makeProbeID() -> ProbeID {
    defer { nextProbe += 1 }
    return ProbeID(nextProbe)
  }

  private func endProbe(_ id: ProbeID, _ error: String?) {
    guard let index = probes.firstIndex(where: { $0.id == id }) else { return }
    probes.remove(at: index)
    probeEnded(id, error)
  }

  private func probeEnded(_ id: ProbeID, _ error: String?) {
    delegate?.transport(self, probeDidEnd: id, error: error)
  }

  // MARK: Connections

  /// The first address of a host, at once for a literal one.
  func resolve(
    host: String, port: UInt16, done: @escaping (Result<SocketAddress, Resolver.Failure>) -> Void
  ) {
    if let literal = SocketAddress(host: host, port: port) { return done(.success(literal)) }
    let resolver = resolver ?? makeResolver()
    resolver.resolve(host: host, port: port) { answer in
      done(
        answer.flatMap { addresses in
          addresses.first.map { .success($0) }
            ?? .failure(Resolver.Failure(host: host, text: "it has no address"))
        })
    }
  }

  private func makeResolver() -> Resolver {
    let workers = workers ?? Workers(threads: 1, queueMax: 64)
    self.workers = workers
    let made = Resolver(loop: loop, workers: workers)
    resolver = made
    return made
  }

  private func accept(_ tcp: TCPConnection) {
    let connection = PeerConnection.accept(tcp, loop: loop, limits: limits, owner: self)
    guard accepted.count < limits.inboundConnectionsMax else {
      return connection.refuse(.tooManyConnections, "too many connections")
    }
    accepted.append(connection)
  }

  private func scheduleTick() {
    let shortest = min(
      limits.pingNanoseconds, limits.deadNanoseconds, limits.handshakeNanoseconds)
    ticker = loop.schedule(after: max(shortest / 4, 1_000_000)) { [weak self] in self?.tick() }
  }

  private func tick() {
    scheduleTick()
    let now = loop.now
    // Copies: a connection that ends takes itself out of the lists.
    let dialed = links.flatMap { $0.lines.compactMap(\.connection) }
    for connection in dialed + accepted + probes.compactMap(\.connection) {
      connection.tick(now)
    }
  }

  private func report(_ rejection: PeerRejection) {
    rejections += 1
    let second = loop.now / 1_000_000_000
    if second != rejectionSecond {
      rejectionSecond = second
      rejectionsInSecond = 0
    }
    guard rejectionsInSecond < limits.rejectionsPerSecondMax else { return }
    rejectionsInSecond += 1
    delegate?.transport(self, rejected: rejection)
  }
}

// MARK: - What lines and connections tell

extension PeerTransport: PeerLineOwner {
  func lineWantsToDial(_ line: PeerLine) {
    guard let address = link(line.peer)?.address else { return line.attemptFailed() }
    resolve(host: address.host, port: address.port) { [weak self, weak line] answer in
      guard let self, let line, self.owns(line) else { return }
      // The name may have been changed while it was looked up; then the line has started over.
      guard line.connection == nil else { return }
      switch answer {
      case .success(let socketAddress):
        line.attach(
          PeerConnection.dial(
            socketAddress, purpose: line.purpose, target: line.peer, loop: self.loop,
            limits: self.limits, owner: self))
      case .failure: line.attemptFailed()
      }
    }
  }

  private func owns(_ line: PeerLine) -> Bool {
    link(line.peer)?.lines.contains { $0 === line } ?? false
  }

  func lineDidChange(_ line: PeerLine, _ state: PeerLinkState) {
    guard line.purpose == .raft else { return }
    delegate?.transport(self, linkDidChange: state, peer: line.peer)
  }
}

extension PeerTransport: PeerConnectionOwner {
  func connectionOwnHello(purpose: PeerPurpose, target: NodeID?) -> Handshake.Hello {
    var own = identity
    own.persistedIndex = persistedIndex
    return Handshake.Hello(
      purpose: purpose, identity: own, target: target,
      advertisedHost: advertised?.host ?? localAddress.host,
      advertisedPort: advertised?.port ?? localAddress.port)
  }

  func connectionDoubts(_ other: PeerIdentity) -> PeerDoubt? {
    guard var doubt = doubts?(other) else { return nil }
    doubt.text = String(decoding: doubt.text.utf8.prefix(250), as: UTF8.self)
    return doubt
  }

  func connectionDidOpen(_ connection: PeerConnection, _ hello: PeerHello) {
    if !connection.isDialer {
      guard admit(connection, hello) else { return }
    }
    let origin = origin(of: connection, hello.identity.nodeID)
    if let line = line(of: connection) { line.didOpen() }
    delegate?.transport(self, didHear: hello, from: origin)
  }

  private func origin(of connection: PeerConnection, _ node: NodeID) -> PeerOrigin {
    connection.probe.map { .probe($0) } ?? .node(node)
  }

  private func admit(_ connection: PeerConnection, _ hello: PeerHello) -> Bool {
    let node = hello.identity.nodeID
    guard connection.purpose != .probe else {
      guard probes.count < limits.probesMax else {
        connection.refuse(.tooManyConnections, "too many probes")
        return false
      }
      let id = makeProbeID()
      connection.probe = id
      probes.append((id, connection))
      return true
    }
    // A node that connects again has lost its old connection, though this side may not know yet.
    let older = accepted.filter {
      $0 !== connection && $0.isOpen && $0.purpose == connection.purpose
        && $0.remote?.identity.nodeID == node
    }
    accepted.removeAll { one in older.contains { $0 === one } }
    for one in older { one.close() }
    link(node)?.lines.forEach { $0.peerIsAlive() }
    return true
  }

  private func line(of connection: PeerConnection) -> PeerLine? {
    guard connection.isDialer, let target = connection.target else { return nil }
    return link(target)?.lines.first { $0.connection === connection }
  }

  func connection(_ connection: PeerConnection, didReceive message: Message) {
    guard let peer = connection.remote?.identity.nodeID else { return }
    link(peer)?.count { $0.messagesReceived += 1 }
    delegate?.transport(self, didReceive: message, from: peer)
  }

  func connection(_ connection: PeerConnection, didReceiveFrame kind: UInt8, _ payload: [UInt8]) {
    guard let peer = connection.remote?.identity.nodeID else { return }
    link(peer)?.count { $0.framesReceived += 1 }
    delegate?.transport(
      self, didReceiveFrame: kind, payload: payload, from: origin(of: connection, peer))
  }

  func connection(_ connection: PeerConnection, didReceiveBytes count: Int) {
    guard let peer = connection.remote?.identity.nodeID else { return }
    link(peer)?.count { $0.bytesReceived += UInt64(count) }
  }

  func connectionDidEnd(_ connection: PeerConnection, _ end: PeerEnd, wasOpen: Bool) {
    accepted.removeAll { $0 === connection }
    if case .rejected(let rejection) = end { report(rejection) }
    if let id = connection.probe { endProbe(id, PeerTransport.text(of: end)) }
    line(of: connection)?.didEnd(end, wasUp: wasOpen)
  }

  private static func text(of end: PeerEnd) -> String? {
    switch end {
    case .rejected(let rejection): rejection.description
    case .lost(let error): error?.description ?? "the connection was closed"
    }
  }
}
