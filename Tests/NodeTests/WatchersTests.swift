import Registry
import Testing

@testable import Node

@Suite struct WatchersTests {
  final class Woken { var names: [String] = [] }

  struct Row: CustomTestStringConvertible {
    var watched: [Topic]
    var changes: ChangeSet
    var wakes: Bool
    var testDescription: String { "\(watched) on \(changes) \(wakes)" }
  }

  static func changes(
    keys: [String] = [], trees: [String] = [], topics: [Topic] = [], everything: Bool = false
  ) -> ChangeSet {
    var result = ChangeSet()
    result.keys = keys.map { Key($0) }
    result.deletedPrefixes = trees.map { Key($0) }
    result.topics = topics
    result.everything = everything
    return result
  }

  @Test(arguments: [
    Row(watched: [.key(Key("a/b"))], changes: changes(keys: ["a/b"]), wakes: true),
    Row(watched: [.key(Key("a/b"))], changes: changes(keys: ["a/bc", "a"]), wakes: false),
    Row(watched: [.prefix(Key("a/"))], changes: changes(keys: ["a/b"]), wakes: true),
    Row(watched: [.prefix(Key("a/"))], changes: changes(keys: ["a", "b/a/"]), wakes: false),
    Row(watched: [.prefix(Key(""))], changes: changes(keys: ["z"]), wakes: true),
    Row(watched: [.key(Key("a/b"))], changes: changes(trees: ["a/"]), wakes: true),
    Row(watched: [.key(Key("b"))], changes: changes(trees: ["a/"]), wakes: false),
    Row(watched: [.prefix(Key("a/b/"))], changes: changes(trees: ["a/"]), wakes: true),
    Row(watched: [.prefix(Key("a/"))], changes: changes(trees: ["a/b/"]), wakes: true),
    Row(watched: [.prefix(Key("b/"))], changes: changes(trees: ["a/"]), wakes: false),
    Row(watched: [.services], changes: changes(topics: [.services]), wakes: true),
    Row(watched: [.service("web")], changes: changes(topics: [.service("db")]), wakes: false),
    Row(watched: [.nodes, .node("n")], changes: changes(topics: [.node("n")]), wakes: true),
    Row(watched: [.sessions], changes: changes(everything: true), wakes: true),
  ])
  func aChangeWakesWhomItConcerns(_ row: Row) {
    var watchers = Watchers()
    let woken = Woken()
    _ = watchers.add(row.watched) { woken.names.append("x") }
    watchers.note(row.changes)
    for wake in watchers.takeDue(atMost: .max) { wake() }
    #expect(woken.names == (row.wakes ? ["x"] : []))
    #expect(watchers.count == (row.wakes ? 0 : 1))
    // Once only.
    watchers.note(row.changes)
    #expect(watchers.takeDue(atMost: .max).isEmpty)
  }

  @Test func cancelledWatchesStaySilent() {
    var watchers = Watchers()
    let woken = Woken()
    let ids = (0..<100).map { number in
      watchers.add([.key(Key("k")), .prefix(Key("k")), .key(Key("k")), .checks]) {
        woken.names.append("\(number)")
      }!
    }
    for (number, id) in ids.enumerated() where number % 3 != 0 { _ = watchers.cancel(id) }
    _ = watchers.cancel(ids[1])
    // Its slot is taken by another now, whom an old id must not cancel.
    _ = watchers.add([.key(Key("k"))]) { woken.names.append("new") }
    for id in ids where ids.firstIndex(of: id)! % 3 != 0 { _ = watchers.cancel(id) }
    watchers.note(Self.changes(keys: ["k"]))
    for wake in watchers.takeDue(atMost: .max) { wake() }
    let expected = (0..<100).filter { $0 % 3 == 0 }.map(String.init) + ["new"]
    #expect(Set(woken.names) == Set(expected))
    #expect(woken.names.count == expected.count)
    #expect(watchers.count == 0)
  }

  @Test func oneChangeAmongManyWatchesIsCheap() {
    var watchers = Watchers()
    let woken = Woken()
    for number in 0..<100_000 {
      _ = watchers.add([.key(Key("key/\(number)"))]) { woken.names.append("\(number)") }
    }
    let start = threadCPUNanoseconds()
    for number in 0..<100 { watchers.note(Self.changes(keys: ["key/\(number * 7)"])) }
    for wake in watchers.takeDue(atMost: .max) { wake() }
    #expect(woken.names == (0..<100).map { "\($0 * 7)" })
    #expect(threadCPUNanoseconds() - start < 500_000_000)
  }
}
