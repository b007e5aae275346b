import Wire

/// What the cluster as a whole knows about itself, beside its membership: replicated, and in every
/// snapshot, so that it outlives each of its members.
package struct ClusterRecord: Equatable, Sendable {
  /// What a node's disk once held: one that comes back with less is an old copy or a clone.
  package struct Mark: Equatable, Sendable {
    package var node: UInt64
    /// Starts of its data directory.
    package var incarnation: UInt64
    /// Committed entries up to this one were on its disk.
    package var index: UInt64
    package init(node: UInt64, incarnation: UInt64, index: UInt64) {
      self.node = node
      self.incarnation = incarnation
      self.index = index
    }
  }

  /// Chosen at random by the first leader; two clusters of one name are told apart by it.
  package var id: UniqueID?
  /// By node, of the members only.
  package var marks: [Mark]

  /// More members than any cluster has.
  static let marksMax = 256

  package init(id: UniqueID? = nil, marks: [Mark] = []) {
    self.id = id
    self.marks = marks
  }

  package func mark(of node: UInt64) -> Mark? { marks.first { $0.node == node } }

  /// What is known already never falls; members that `news` does not name are forgotten.
  mutating func merge(_ news: ClusterRecord, replacesID: Bool) {
    if id == nil || replacesID { id = news.id ?? id }
    marks = news.marks.map { new in
      guard let old = mark(of: new.node) else { return new }
      return Mark(
        node: new.node, incarnation: max(old.incarnation, new.incarnation),
        index: max(old.index, new.index))
    }
  }

  func encode(into writer: inout Writer) {
    writer.optional(id) { $0.uniqueID($1) }
    writer.list(marks) { writer, mark in
      writer.u64(mark.node)
      writer.varint(mark.incarnation)
      writer.varint(mark.index)
    }
  }

  init(from reader: inout Reader) throws(WireError) {
    id = try reader.optional { (reader) throws(WireError) in try reader.uniqueID() }
    marks = try reader.list { (reader) throws(WireError) in
      Mark(
        node: try reader.u64(), incarnation: try reader.varint(), index: try reader.varint())
    }
    guard marks.count <= Self.marksMax else { throw .tooLong }
    guard zip(marks, marks.dropFirst()).allSatisfy({ $0.node < $1.node }) else {
      throw .unorderedRecords
    }
  }
}
