/// The path cleaning of Go's `ServeMux`: no empty, `.` or `..` segments, a leading slash, and the
/// trailing slash kept. A server answers 301 to the cleaned path when it differs.
package enum PathCleaner {
  /// The cleaned form of a decoded path, nil when it is clean already (the usual case, found without
  /// an allocation).
  package static func cleaned(_ path: ArraySlice<UInt8>) -> [UInt8]? {
    isClean(path) ? nil : clean(path)
  }

  private static func isClean(_ path: ArraySlice<UInt8>) -> Bool {
    let bytes = path.span
    guard !bytes.isEmpty, bytes[0] == 0x2F else { return false }
    var index = 0
    while index < bytes.count {
      let isSlash = bytes[index] == 0x2F
      index += 1
      if isSlash && isSpecialSegment(bytes, at: index) { return false }
    }
    return true
  }

  /// Empty (but not the last one), `.` or `..`.
  @inline(__always)
  private static func isSpecialSegment(_ path: Span<UInt8>, at start: Int) -> Bool {
    guard start < path.count else { return false }
    if path[start] == 0x2F { return true }
    guard path[start] == 0x2E else { return false }
    let next = start + 1 < path.count && path[start + 1] == 0x2E ? start + 2 : start + 1
    return next == path.count || path[next] == 0x2F
  }

  private static func clean(_ path: ArraySlice<UInt8>) -> [UInt8] {
    var output: [UInt8] = []
    output.reserveCapacity(path.count + 1)
    var endsWithSlash = path.isEmpty
    for segment in path.split(separator: 0x2F, omittingEmptySubsequences: false) {
      // Only a literal trailing slash is kept: `/a/..` is `/`, `/a/b/.` is `/a/b` (as in Go).
      endsWithSlash = segment.isEmpty
      switch segment.count {
      case 0: continue
      case 1 where segment.first == 0x2E: continue
      case 2 where segment.first == 0x2E && segment.last == 0x2E:
        while let last = output.popLast(), last != 0x2F {}
      default:
        output.append(0x2F)
        output.append(contentsOf: segment)
      }
    }
    if endsWithSlash || output.isEmpty { output.append(0x2F) }
    return output
  }
}
