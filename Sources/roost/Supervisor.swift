internal import CRoost
internal import Foundation

/// Runs node processes, relays what they print line by line under their names, and ends them with
/// itself (each asks the kernel to be killed when this process dies).
///
/// One thread, one `poll` over a signal descriptor and the pipes. First ctrl-C or SIGTERM: the nodes
/// are asked to stop, one after the other, so that leadership is handed over and nothing in flight
/// fails. A second one kills them.
struct Supervisor {
  private struct Child {
    let node: SupervisedNode
    var pid: Int32
    /// Read end of the pipe that standard output and error go to.
    var output: Int32
    var unfinishedLine: [UInt8] = []
  }

  private let nodes: [SupervisedNode]
  private let restarts: Bool
  private let nameWidth: Int
  private var children: [Child] = []
  private var pendingRestarts: [(node: SupervisedNode, at: UInt64)] = []
  private var isStopping = false
  /// A line longer than this is broken in two.
  private static let lineBytesMax = 16 << 10
  private static let restartDelayNanoseconds: UInt64 = 1_000_000_000

  init(nodes: [SupervisedNode], restarts: Bool) {
    self.nodes = nodes
    self.restarts = restarts
    nameWidth = nodes.map(\.name.count).max() ?? 0
  }

  mutating func run() throws(CommandFailure) -> Int32 {
    let signals = [SIGINT, SIGTERM, SIGCHLD]
    unsafe croost_block_signals(signals, Int32(signals.count))
    let signalDescriptor = unsafe croost_signalfd(signals, Int32(signals.count))
    guard signalDescriptor >= 0 else { throw CommandFailure("cannot watch for signals") }
    for node in nodes { try start(node) }
    let announced = nodes
    Thread.detachNewThread { SupervisedNode.announce(announced) }
    while !children.isEmpty || (!pendingRestarts.isEmpty && !isStopping) {
      waitForSomething(signalDescriptor)
      for position in children.indices { relay(position) }
      try handleSignals(signalDescriptor)
      if !isStopping { try restartDue() }
    }
    return isStopping ? 0 : 1
  }

  private mutating func start(_ node: SupervisedNode) throws(CommandFailure) {
    var pipe: [Int32] = [-1, -1]
    guard unsafe croost_pipe(&pipe, 1) == 0 else { throw CommandFailure("cannot make a pipe") }
    let pid = NodeProgram.start(file: node.file, output: pipe[1])
    croost_close(pipe[1])
    guard pid > 0 else {
      croost_close(pipe[0])
      throw CommandFailure("cannot start \(node.name): error \(-pid)")
    }
    children.append(Child(node: node, pid: pid, output: pipe[0]))
    say(node, "started, pid \(pid)", .dim)
  }

  private func waitForSomething(_ signalDescriptor: Int32) {
    var descriptors = [pollfd(fd: signalDescriptor, events: Int16(POLLIN), revents: 0)]
    for child in children where child.output >= 0 {
      descriptors.append(pollfd(fd: child.output, events: Int16(POLLIN), revents: 0))
    }
    unsafe poll(&descriptors, nfds_t(descriptors.count), 200)
  }

  /// Copies what a child printed, a whole line at a time.
  private mutating func relay(_ position: Int) {
    guard children[position].output >= 0 else { return }
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let descriptor = children[position].output
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe read(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else {
        if count == 0 {
          croost_close(descriptor)
          children[position].output = -1
        }
        return
      }
      for byte in buffer[..<count] {
        if byte != 10 { children[position].unfinishedLine.append(byte) }
        if byte == 10 || children[position].unfinishedLine.count >= Self.lineBytesMax {
          let line = String(decoding: children[position].unfinishedLine, as: UTF8.self)
          say(children[position].node, line, nil)
          children[position].unfinishedLine.removeAll(keepingCapacity: true)
        }
      }
    }
  }

  private mutating func handleSignals(_ descriptor: Int32) throws(CommandFailure) {
    var sender: Int32 = 0
    while true {
      // Sound: the pointer is valid for the call.
      switch unsafe croost_signalfd_take(descriptor, &sender) {
      case SIGCHLD: reap()
      case SIGINT, SIGTERM: stopChildren()
      default: return
      }
    }
  }

  private mutating func stopChildren() {
    let signal = isStopping ? SIGKILL : SIGTERM
    Console.print(isStopping ? "Killing the nodes." : "Stopping the nodes; once more kills them.")
    isStopping = true
    for child in children { croost_kill(child.pid, signal) }
  }

  private mutating func reap() {
    var ended = croost_exit()
    while unsafe croost_wait(-1, 0, &ended) >= 0, ended.pid > 0 {
      guard let position = children.firstIndex(where: { $0.pid == ended.pid }) else { continue }
      relay(position)
      let child = children.remove(at: position)
      if child.output >= 0 { croost_close(child.output) }
      let how = ended.signal != 0 ? "killed by signal \(ended.signal)" : "exit status \(ended.code)"
      if isStopping {
        say(child.node, "stopped", .dim)
      } else if restarts {
        say(child.node, "died (\(how)); it starts again in a second", .red)
        let due = croost_monotonic() + Self.restartDelayNanoseconds
        pendingRestarts.append((child.node, due))
      } else {
        say(
          child.node,
          "died (\(how)); to bring it back: roost agent --config \(child.node.file)", .red)
      }
    }
  }

  private mutating func restartDue() throws(CommandFailure) {
    let now = croost_monotonic()
    let due = pendingRestarts.filter { $0.at <= now }
    pendingRestarts.removeAll { $0.at <= now }
    for restart in due { try start(restart.node) }
  }

  private func say(_ node: SupervisedNode, _ text: String, _ style: Console.Style?) {
    let name = node.name + String(repeating: " ", count: nameWidth - node.name.count)
    Console.print(
      Console.styled(name + " |", .cyan) + " " + (style.map { Console.styled(text, $0) } ?? text))
  }
}
