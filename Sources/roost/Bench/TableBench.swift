internal import EventLoop
internal import Foundation

/// One row of the standard table: what is done, by how many clients, asked of which node.
struct BenchRow {
  enum Place {
    case leader, follower
  }
  var name: String
  var kind: LoadWork.Kind
  var connections: Int
  var place: Place
  var isStale = false

  static let standard = [
    BenchRow(name: "put, 1 client, leader", kind: .put, connections: 1, place: .leader),
    BenchRow(name: "put, 64 clients, leader", kind: .put, connections: 64, place: .leader),
    BenchRow(name: "put, 256 clients, leader", kind: .put, connections: 256, place: .leader),
    BenchRow(name: "put, 64 clients, follower", kind: .put, connections: 64, place: .follower),
    BenchRow(name: "get, 64 clients, leader", kind: .get, connections: 64, place: .leader),
    BenchRow(name: "get, 64 clients, follower", kind: .get, connections: 64, place: .follower),
    BenchRow(
      name: "stale get, 64 clients", kind: .get, connections: 64, place: .follower,
      isStale: true),
    BenchRow(
      name: "health query, 64 clients", kind: .health, connections: 64, place: .leader),
  ]
}

extension Bench {
  /// The standard table on three nodes, with the machine it was measured on.
  func table() throws -> Int32 {
    Console.print(Machine.description)
    var failures: UInt64 = 0
    var reports: [LoadReport.JSON] = []
    try onNodes { all, cluster in
      var fill = options
      fill.addresses = all
      fill.work.kind = .get
      try Self.fill(fill)
      fill.work.kind = .health
      try Self.fill(fill)
      for row in BenchRow.standard {
        let leader = try cluster?.waitForLeader() ?? 0
        var run = options
        let place = row.place == .leader ? leader : (leader + 1) % all.count
        run.addresses = [all[place]]
        run.work.kind = row.kind
        run.connections = row.connections
        if row.isStale { run.work.readQuery = "?stale" }
        let report = try LoadReport.measure(row.name, run, nodes: all)
        failures += report.result.errors
        reports.append(report.json)
        if !wantsJSON { Console.write(report.render(isDetailed: false)) }
      }
    }
    if wantsJSON { try ClientCommand.printJSON(reports) }
    return failures == 0 ? 0 : 1
  }
}

/// What a figure was measured on, in a line.
enum Machine {
  static var description: String {
    let cpu = (try? Console.readFile("/proc/cpuinfo")) ?? []
    let model =
      String(decoding: cpu, as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("model name") }?.split(separator: ":").last ?? "unknown processor"
    let memory = ProcessInfo.processInfo.physicalMemory >> 30
    let cores = ProcessInfo.processInfo.activeProcessorCount
    let load = String(decoding: (try? Console.readFile("/proc/loadavg")) ?? [], as: UTF8.self)
    let before = load.split(separator: " ").first ?? "?"
    let name = model.drop { $0 == " " }
    return "\(cores) cores (\(name)), \(memory) GB, load before the run \(before)"
  }
}
