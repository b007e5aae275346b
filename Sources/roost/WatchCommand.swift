internal import Foundation
internal import RoostClient

extension Command {
  static let watch = Command.client(
    name: "watch", summary: "print something once, or run a program whenever it changes",
    usage: "--type TYPE [--key K | --prefix P | --service S | …] [PROGRAM [ARGUMENT]…]",
    flags: [
      Flag("type", "TYPE", "key, keyprefix, services, nodes, service, checks or event"),
      Flag("key", "KEY", "for key"), Flag("prefix", "PREFIX", "for keyprefix"),
      Flag("service", "NAME", "for service; for checks: only this service's"),
      Flag("tag", "TAG", "for service: only instances with it"),
      Flag("passingonly", "for service: only healthy instances"),
      Flag("state", "STATE", "for checks: any, passing, warning or critical (any)"),
      Flag("name", "NAME", "for event: only events with this name"),
      Flag("follow", "without a program: go on and print every change"),
      ClientCommand.staleFlag,
    ],
    details: """
      Without a program it prints the state as JSON and ends, as Consul does. With one it runs the
      program at once and then after every change, with the JSON on standard input and the index
      in CONSUL_INDEX, until interrupted. A program that fails is reported; the watch goes on.
      """,
    wordsBeforeRest: 0
  ) { command in
    let target = try WatchTarget(command.arguments)
    var watch = Watch(
      command.roost, target.path, query: target.query, hasOrderedIndex: target.kind != .event)
    let words = command.arguments.words.drop { $0 == "--" }
    while true {
      guard let answer = try PatientWatch.next(&watch) else { continue }
      let json = JSONText.indented(target.shown(answer))
      if !words.isEmpty {
        try WatchHandler.run(Array(words), input: json, index: answer.index ?? 0)
      } else {
        Console.write(json + [10])
        if !command.arguments.has("follow") { return 0 }
      }
    }
  }
}

/// What `roost watch` follows: its path and what of the answer is shown.
struct WatchTarget {
  enum Kind: String, CaseIterable {
    case key, keyprefix, services, nodes, service, checks, event
  }

  let kind: Kind
  let path: String
  private(set) var query: [(String, String?)] = []

  init(_ arguments: Arguments) throws(UsageError) {
    func needed(_ flag: String) throws(UsageError) -> String {
      guard let value = arguments.value(flag) else { throw UsageError("--\(flag) is missing") }
      return Roost.encode(value, keepingSlash: true)
    }
    let word = arguments.value("type") ?? ""
    guard let kind = Kind(rawValue: word) else {
      let names = Kind.allCases.map(\.rawValue).joined(separator: ", ")
      throw UsageError(word.isEmpty ? "--type is missing: \(names)" : "--type is one of \(names)")
    }
    self.kind = kind
    switch kind {
    case .key: path = "/v1/kv/" + (try needed("key"))
    case .keyprefix:
      path = "/v1/kv/" + (try needed("prefix"))
      query.append(("recurse", nil))
    case .services: path = "/v1/catalog/services"
    case .nodes: path = "/v1/catalog/nodes"
    case .service:
      path = "/v1/health/service/" + (try needed("service"))
      for tag in arguments.all("tag") { query.append(("tag", tag)) }
      if arguments.has("passingonly") { query.append(("passing", nil)) }
    case .checks:
      if arguments.has("service") {
        path = "/v1/health/checks/" + (try needed("service"))
      } else {
        let state = arguments.value("state") ?? "any"
        path = "/v1/health/state/" + Roost.encode(state, keepingSlash: false)
      }
    case .event:
      path = "/v1/event/list"
      if let name = arguments.value("name") { query.append(("name", name)) }
    }
    if arguments.has("stale"), kind != .event { query.append(("stale", nil)) }
  }

  /// The answer's JSON: `null` for what is not there; one entry for one key, not a list of one.
  func shown(_ answer: Roost.Response) -> [UInt8] {
    guard answer.status == 200 else { return Array("null".utf8) }
    guard kind == .key else { return answer.body }
    return JSONText.onlyElement(answer.body)
  }
}

/// Runs the program of a watch.
enum WatchHandler {
  static func run(_ words: [String], input: [UInt8], index: UInt64) throws {
    // A file, not a pipe: the program may read late or not at all.
    let path = FileManager.default.temporaryDirectory.path + "/roost-watch-\(UUID().uuidString)"
    let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw CommandFailure("cannot write \(path)") }
    defer { close(descriptor) }
    _ = unsafe unlink(path)
    Console.write(input + [10], to: descriptor)
    lseek(descriptor, 0, SEEK_SET)
    let child = try ChildProgram.start(
      words, input: descriptor, group: .shared, environment: [("CONSUL_INDEX", String(index))])
    let status = child.waitUntilEnd().status
    if status != 0 { Console.printError("roost watch: the program ended with status \(status)") }
  }
}
