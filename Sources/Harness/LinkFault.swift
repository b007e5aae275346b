/// What is wrong with one direction between two nodes.
package struct LinkFault: Equatable, Sendable {
  /// Nothing arrives. What was sent meanwhile arrives when the cut ends, as TCP would repeat it.
  package var isCut = false
  /// Every byte arrives so much later.
  package var delayMilliseconds: UInt64 = 0
  /// 0: as fast as it goes.
  package var bytesPerSecond: UInt64 = 0
  package init() {}

  package static var cut: LinkFault {
    var fault = LinkFault()
    fault.isCut = true
    return fault
  }

  package static func delay(_ milliseconds: UInt64) -> LinkFault {
    var fault = LinkFault()
    fault.delayMilliseconds = milliseconds
    return fault
  }

  package static func throttle(bytesPerSecond: UInt64) -> LinkFault {
    var fault = LinkFault()
    fault.bytesPerSecond = bytesPerSecond
    return fault
  }
}

/// One direction: what `from` sends to `to`.
package struct LinkDirection: Hashable, Sendable {
  package var from: String
  package var to: String
  package init(from: String, to: String) {
    self.from = from
    self.to = to
  }
}
