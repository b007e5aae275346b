/// The log in memory: everything after `baseIndex`, which a snapshot covers.
///
/// Replication and the state machine read from here only; the disk is written, never read, while a
/// node runs. Happy path: `append` at the end, `slice` for AppendEntries, `compact` at the front
/// after a snapshot. A follower whose tail disagrees with its leader calls `truncate`.
struct EntryLog: Equatable, Sendable {
  /// The entry before the first one; 0 in a log that was never compacted.
  private(set) var baseIndex: LogIndex
  private(set) var baseTerm: Term
  private(set) var entries: [Entry]
  /// Payloads and a fixed cost for each entry.
  private(set) var bytes: Int

  /// What an entry costs beside its payload: index, term, kind, the array's header.
  static let entryOverheadBytes = 64

  /// - Parameter entries: contiguous from `baseIndex.next`.
  init(baseIndex: LogIndex = .zero, baseTerm: Term = .zero, entries: [Entry] = []) {
    self.baseIndex = baseIndex
    self.baseTerm = baseTerm
    self.entries = entries
    bytes = entries.reduce(0) { $0 + Self.cost($1) }
  }

  static func cost(_ entry: Entry) -> Int { entry.payload.count + entryOverheadBytes }

  static func cost(_ entries: ArraySlice<Entry>) -> Int {
    var sum = 0
    for position in entries.indices {
      sum += entries[position].payload.count + entryOverheadBytes
    }
    return sum
  }

  var firstIndex: LogIndex { baseIndex.next }
  var lastIndex: LogIndex { LogIndex(baseIndex.value + UInt64(entries.count)) }
  var lastTerm: Term { entries.last?.term ?? baseTerm }

  /// Nil when the entry is compacted away or not there; the base still has its term.
  func term(at index: LogIndex) -> Term? {
    if index == baseIndex { return baseTerm }
    guard let position = position(of: index) else { return nil }
    return entries[position].term
  }

  subscript(_ index: LogIndex) -> Entry? {
    guard let position = position(of: index) else { return nil }
    return entries[position]
  }

  /// Entries in `from ... through`, clipped to what is there.
  func slice(from: LogIndex, through: LogIndex) -> ArraySlice<Entry> {
    let first = max(from, firstIndex)
    let last = min(through, lastIndex)
    guard first <= last else { return [] }
    let start = Int(first.value - baseIndex.value - 1)
    return entries[start..<(start + Int(last.value - first.value) + 1)]
  }

  /// What the commands in `from ... through` cost.
  func commandCost(from: LogIndex, through: LogIndex) -> Int {
    let part = slice(from: from, through: through)
    var sum = 0
    for position in part.indices where part[position].kind == .command {
      sum += part[position].payload.count + Self.entryOverheadBytes
    }
    return sum
  }

  /// One batch from `from` on: within both limits, but at least one entry when there is one.
  func batch(from: LogIndex, entriesMax: Int, bytesMax: Int) -> ArraySlice<Entry> {
    guard let start = position(of: from) else { return [] }
    var end = start
    var size = 0
    while end < entries.count, end - start < entriesMax {
      size += entries[end].payload.count + Self.entryOverheadBytes
      if size > bytesMax, end > start { break }
      end += 1
    }
    return entries[start..<end]
  }

  mutating func reserve(_ count: Int) {
    let needed = entries.count + count
    if needed > entries.capacity { entries.reserveCapacity(max(needed, entries.capacity * 2)) }
  }

  mutating func append(_ entry: Entry) {
    bytes += Self.cost(entry)
    entries.append(entry)
  }

  /// Drops the entry at `index` and all after it.
  mutating func truncate(from index: LogIndex) {
    guard let position = position(of: index) else { return }
    for entry in entries[position...] { bytes -= Self.cost(entry) }
    entries.removeSubrange(position...)
  }

  /// Drops everything through `index`, which becomes the base.
  mutating func compact(through index: LogIndex) {
    guard let position = position(of: index) else { return }
    baseTerm = entries[position].term
    baseIndex = index
    for entry in entries[...position] { bytes -= Self.cost(entry) }
    entries.removeSubrange(...position)
  }

  /// Empties the log: the next entry follows a snapshot through `index`.
  mutating func reset(baseIndex: LogIndex, baseTerm: Term) {
    self = EntryLog(baseIndex: baseIndex, baseTerm: baseTerm)
  }

  /// Back-off by term (paper, end of 5.3): the last index at or before `index` whose term is not
  /// above `term`, so that one rejected append skips a whole run of terms. Not below `floor`.
  func lastIndex(notAbove term: Term, from index: LogIndex, floor: LogIndex) -> LogIndex {
    var candidate = min(index, lastIndex)
    let lowest = max(floor, baseIndex)
    while candidate > lowest, let found = self.term(at: candidate), found > term {
      candidate = candidate.previous
    }
    return candidate
  }

  private func position(of index: LogIndex) -> Int? {
    guard index > baseIndex, index <= lastIndex else { return nil }
    return Int(index.value - baseIndex.value - 1)
  }
}
