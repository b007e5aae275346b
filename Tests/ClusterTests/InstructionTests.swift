import Foundation
import Harness
import Testing

/// What a request may cost in instructions and allocations, on the release build, from the first byte
/// read to the last byte written and synced, on all threads of a cluster of one. Counting does not
/// depend on the machine's speed or its load, so a slow-down shows here and not in a timing that
/// flakes; `BudgetTests` counts the allocations of the debug build in the same way.
///
/// To set a budget: run this, take what it prints and add 15 %, for another compiler or C library:
///
///     make release
///     ROOST_BINARY=$PWD/.build/release/roost swift test --no-parallel --filter InstructionTests
///
/// To see where the instructions go: the same with `ROOST_CALLGRIND=folder` keeps callgrind's files,
/// one for each row, whose counts are of `requests` requests:
///
///     callgrind_annotate --inclusive=yes folder/put.16 | swift demangle --compact | head -60
@Suite(
  .serialized, .timeLimit(.minutes(5)),
  .enabled(
    if: Callgrind.isThere,
    "instructions are not counted: install valgrind and binutils (apt-get install valgrind binutils)"
  ),
  .enabled(
    if: ProcessInfo.processInfo.environment["ROOST_BINARY"] != nil,
    "instructions are not counted: the budgets are of the release build, named by ROOST_BINARY"))
struct InstructionTests {
  struct Budget {
    let name: String
    let request: String
    var body = ""
    /// Each request waits for the answer to the one before: a turn of the loop for each.
    let alone: Limit
    /// Sixteen at a time, as in a turn under load.
    let together: Limit

    var bytes: [UInt8] {
      let length = body.isEmpty ? "" : "Content-Length: \(body.utf8.count)\r\n"
      return Array("\(request) HTTP/1.1\r\nHost: node\r\n\(length)\r\n\(body)".utf8)
    }
  }

  struct Limit {
    let instructions: Double
    let allocations: Double
  }

  static let budgets = [
    Budget(
      name: "put", request: "PUT /v1/kv/budget/key", body: String(repeating: "v", count: 128),
      alone: Limit(instructions: 65_000, allocations: 9.5),
      together: Limit(instructions: 23_300, allocations: 6.2)),
    Budget(
      name: "linearizable get", request: "GET /v1/kv/budget/key",
      alone: Limit(instructions: 31_200, allocations: 10.5),
      together: Limit(instructions: 18_400, allocations: 5.3)),
    Budget(
      name: "stale get", request: "GET /v1/kv/budget/key?stale",
      alone: Limit(instructions: 25_000, allocations: 4.6),
      together: Limit(instructions: 17_500, allocations: 4.6)),
    Budget(
      name: "health query", request: "GET /v1/health/service/budget?passing&stale",
      alone: Limit(instructions: 36_400, allocations: 5.8),
      together: Limit(instructions: 38_700, allocations: 6.1)),
  ]

  /// Of each kind, alone and together. More of them would cost time and change little.
  static let requests = 512

  @Test func requestsStayWithinTheirInstructions() async throws {
    try await onThread {
      let callgrind = try Callgrind()
      // A counted node on a busy machine can keep one waiting, above all while it is asked for counts.
      let connection = try RawConnection(
        port: callgrind.cluster.nodes[0].httpPort, readSeconds: 60)
      try Self.fill(callgrind.cluster, connection)
      let idle = try Self.idle(callgrind)
      print("instructions of an idle second: \(Self.text(idle))")
      for budget in Self.budgets {
        // What is made once is made now.
        try Self.send(budget.bytes, 64, depth: 1, connection)
        try Self.send(budget.bytes, 64, depth: 16, connection)
        _ = try callgrind.cost()
        for (depth, limit) in [(1, budget.alone), (16, budget.together)] {
          let start = Date()
          try Self.send(budget.bytes, Self.requests, depth: depth, connection)
          let total = try callgrind.cost(keptAs: Self.copy(budget, depth))
          let each = total.each(
            of: Self.requests, idle: idle, seconds: Date().timeIntervalSince(start))
          let name = "\(budget.name), \(depth) at a time"
          print("\(name): \(Self.text(each))")
          #expect(each.instructions <= limit.instructions, "\(name): instructions")
          #expect(each.allocations <= limit.allocations, "\(name): allocations")
          // A count of nothing would pass as well.
          #expect(each.instructions > 1_000 && each.allocations >= 0, "\(name): \(each)")
        }
      }
    }
  }

  /// A value, and ten instances.
  private static func fill(_ cluster: LocalCluster, _ connection: RawConnection) throws {
    let value = Array(String(repeating: "v", count: 128).utf8)
    #expect(try connection.exchange("PUT", "/v1/kv/budget/key", body: value).status == 200)
    for number in 0..<10 {
      let body = Array(#"{"Name":"budget","ID":"budget\#(number)","Port":\#(80 + number)}"#.utf8)
      // A node that has just come up is no host for services yet.
      try cluster.wait("the registration of instance \(number)", seconds: 60) {
        try connection.exchange("PUT", "/v1/agent/service/register", body: body).status == 200
      }
    }
  }

  private static func idle(_ callgrind: Callgrind) throws -> Callgrind.Cost {
    _ = try callgrind.cost()
    let start = Date()
    usleep(1_500_000)
    let cost = try callgrind.cost()
    let seconds = Date().timeIntervalSince(start)
    return Callgrind.Cost(
      instructions: cost.instructions / seconds, allocations: cost.allocations / seconds)
  }

  private static func send(
    _ bytes: [UInt8], _ count: Int, depth: Int, _ connection: RawConnection
  ) throws {
    let block = Array(repeatElement(bytes, count: depth).joined())
    for _ in 0..<(count / depth) {
      connection.send(block)
      for _ in 0..<depth {
        let answer = try connection.answer()
        guard answer.status == 200 else { throw LocalCluster.Failure(answer.head) }
      }
    }
  }

  private static func copy(_ budget: Budget, _ depth: Int) -> URL? {
    ProcessInfo.processInfo.environment["ROOST_CALLGRIND"].map {
      let name = budget.name.replacingOccurrences(of: " ", with: "-")
      return URL(fileURLWithPath: $0).appendingPathComponent("\(name).\(depth)")
    }
  }

  private static func text(_ cost: Callgrind.Cost) -> String {
    String(format: "%.0f instructions, %.1f allocations", cost.instructions, cost.allocations)
  }
}
