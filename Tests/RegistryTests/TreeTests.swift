import Basics
import Testing

@testable import Registry

extension Int: TreeKey {}

/// The tree against a sorted array, with copies held while it moves on.
@Suite struct TreeTests {
  /// Sorted pairs, the obvious way.
  struct Model: Equatable {
    var pairs: [[Int]] = []

    func slot(_ key: Int) -> (slot: Int, found: Bool) {
      let slot = pairs.firstIndex { $0[0] >= key } ?? pairs.count
      return (slot, slot < pairs.count && pairs[slot][0] == key)
    }

    mutating func set(_ key: Int, _ value: Int) -> Int? {
      let (slot, found) = slot(key)
      guard found else {
        pairs.insert([key, value], at: slot)
        return nil
      }
      defer { pairs[slot][1] = value }
      return pairs[slot][1]
    }

    mutating func remove(_ key: Int) -> Int? {
      let (slot, found) = slot(key)
      return found ? pairs.remove(at: slot)[1] : nil
    }
  }

  func pairs(_ tree: Tree<Int, Int>, from lower: Int? = nil) -> [[Int]] {
    var result: [[Int]] = []
    tree.forEach(from: lower) { key, value in
      result.append([key, value])
      return true
    }
    return result
  }

  @Test(arguments: [UInt64(1), 2, 3, 4])
  func behavesAsASortedArrayAndCopiesStay(seed: UInt64) {
    var random = SplitMix(seed: seed)
    var tree = Tree<Int, Int>()
    var model = Model()
    var held: [(tree: Tree<Int, Int>, model: Model)] = []
    let keys = random.chance(1, in: 2) ? UInt64(60) : 900
    for step in 0..<4000 {
      let key = Int(random.below(keys))
      // Phases of growth and of shrinking, so that nodes split and merge.
      let removes: UInt64 = (step / 800).isMultiple(of: 2) ? 2 : 8
      if random.chance(removes, in: 10) {
        let removed = tree.removeValue(forKey: key)
        let expected = model.remove(key)
        #expect(removed == expected)
      } else {
        let replaced = tree.updateValue(step, forKey: key)
        let expected = model.set(key, step)
        #expect(replaced == expected)
      }
      #expect(tree.count == model.pairs.count)
      if step.isMultiple(of: 97) {
        #expect(tree.isWellFormed)
        held.append((tree, model))
        let lower = Int(random.below(keys))
        #expect(pairs(tree, from: lower) == model.pairs.filter { $0[0] >= lower })
        #expect(tree[lower] == model.pairs.first { $0[0] == lower }?[1])
        #expect(tree.contains(lower) == model.slot(lower).found)
      }
      if held.count > 8 { held.removeFirst() }
    }
    for copy in held { #expect(pairs(copy.tree) == copy.model.pairs) }
    #expect(pairs(tree) == model.pairs)
  }

  @Test func aCopyIsWritableOnItsOwn() {
    var a = Tree<Int, Int>()
    for key in 0..<500 { a.updateValue(key, forKey: key) }
    var b = a
    for key in 0..<500 where key.isMultiple(of: 2) { b.removeValue(forKey: key) }
    for key in 0..<500 { a.updateValue(-key, forKey: key) }
    #expect(pairs(a) == (0..<500).map { [$0, -$0] })
    #expect(pairs(b) == (0..<500).filter { !$0.isMultiple(of: 2) }.map { [$0, $0] })
    #expect(a.isWellFormed && b.isWellFormed)
  }

  @Test func appendTakesOnlyGrowingKeys() {
    var tree = Tree<Int, Int>()
    var taken = 0
    for key in 0..<10_000 where tree.append(key, key) { taken += 1 }
    let refused = [tree.append(9_999, 0), tree.append(5, 0)]
    #expect(taken == 10_000 && refused == [false, false])
    #expect(tree.count == 10_000 && tree.isWellFormed)
    #expect(tree.lastKey == 9_999 && tree.first?.key == 0)
  }

  @Test(arguments: [0, 1, 2])
  func emptiesInAnyOrder(order: Int) {
    var tree = Tree<Int, Int>()
    for key in 0..<3000 { tree.updateValue(key, forKey: key) }
    var random = SplitMix(seed: 7)
    let all = Array(0..<3000)
    let keys = order == 0 ? all : order == 1 ? all.reversed() : all.shuffled(using: &random)
    for (i, key) in keys.enumerated() {
      let removed = tree.removeValue(forKey: key)
      #expect(removed == key)
      if i.isMultiple(of: 101) { #expect(tree.isWellFormed) }
    }
    #expect(tree.isEmpty && tree.isWellFormed && tree.first == nil && tree.lastKey == nil)
    let missing = tree.removeValue(forKey: 1)
    #expect(missing == nil)
  }

  @Test func aForEachEndsWhenTold() {
    var tree = Tree<Int, Int>()
    for key in 0..<1000 { tree.updateValue(key, forKey: key) }
    var seen = 0
    tree.forEach(from: 100) { key, _ in
      seen += 1
      return key < 300
    }
    #expect(seen == 201)
  }

  /// Keys with much in common, one a prefix of the other, with zero bytes: hints must decide none
  /// of them wrongly.
  @Test(arguments: [UInt64(41), 42, 43])
  func keysOfBytesAreFoundByTheirHints(seed: UInt64) {
    var random = SplitMix(seed: seed)
    let stems = ["", "a", "common/prefix/", "common/prefix/of/many/keys/"].map { Array($0.utf8) }
    func key() -> Key {
      var bytes = stems[Int(random.below(seed == 43 ? 2 : 4))]
      for _ in 0..<random.below(12) { bytes.append(UInt8(random.below(3)) &* 127) }
      return Key(bytes)
    }
    var tree = Tree<Key, Int>()
    var model: [Key: Int] = [:]
    for step in 0..<6000 {
      let key = key()
      if random.chance((step / 1500).isMultiple(of: 2) ? 1 : 7, in: 10) {
        let removed = tree.removeValue(forKey: key)
        let expected = model.removeValue(forKey: key)
        #expect(removed == expected)
      } else {
        let replaced = tree.updateValue(step, forKey: key)
        let expected = model.updateValue(step, forKey: key)
        #expect(replaced == expected)
      }
      let other = self.probe(key, step)
      #expect(tree[other] == model[other])
      if step.isMultiple(of: 250) {
        #expect(tree.isWellFormed && tree.count == model.count)
        let found = tree.keys(from: other) { _ in true }
        #expect(found == model.keys.filter { !($0 < other) }.sorted())
      }
    }
  }

  /// A key near another one.
  func probe(_ key: Key, _ step: Int) -> Key {
    switch step % 3 {
    case 0: Key(Array(key.bytes.dropLast()))
    case 1: Key(key.bytes + [0])
    default: key
    }
  }
}
