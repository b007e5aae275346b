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
    var isAfterSlash = false
    for index in 0..<bytes.count {
      let byte = bytes[index]
      if isAfterSlash, byte == 0x2F || byte == 0x2E, isSpecialSegment(bytes, at: index) {
        return false
      }
      isAfterSlash = byte == 0x2F
    }
    return true
  }

  /// Empty, `.` or `..`; there is a slash or a dot at `start`.
  private static func isSpecialSegment(_ path: Span<UInt8>, at start: Int) -> Bool {
    if path[start] == 0x2F { return true }
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
