internal import CRoost

/// One send(2): bytes of the connection's own, then a body that it shares with others. Values only,
/// so any thread may do it; the descriptor must stay open until it is done.
struct SendJob: Sendable {
  let fd: Int32
  let own: [UInt8]
  let ownRange: Range<Int>
  var shared: [UInt8] = []
  var sharedRange = 0..<0

  /// Sends nothing.
  static let nothing = SendJob(fd: -1, own: [], ownRange: 0..<0)

  var count: Int { ownRange.count + sharedRange.count }

  /// Does not wait.
  func send() -> SendResult {
    guard count > 0 else { return .nothing }
    let taken = Int(
      unsafe own.withUnsafeBytes { own in
        unsafe shared.withUnsafeBytes { shared in
          // Sound: `rebasing` checks the ranges against the arrays, and both live for the call.
          let first = unsafe UnsafeRawBufferPointer(rebasing: own[ownRange])
          let second = unsafe UnsafeRawBufferPointer(rebasing: shared[sharedRange])
          if sharedRange.isEmpty { return unsafe croost_send(fd, first.baseAddress, first.count) }
          return unsafe croost_send_two(
            fd, first.baseAddress, first.count, second.baseAddress, second.count)
        }
      })
    return SendResult(taken: taken, isAll: taken == count)
  }
}

/// What became of a `SendJob`.
struct SendResult: Sendable {
  /// Bytes that the kernel took, or a negative errno.
  var taken: Int
  var isAll: Bool

  /// Nothing was to be sent.
  static let nothing = SendResult(taken: 0, isAll: true)
}
