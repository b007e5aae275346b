/// The path cleaning of Go's `ServeMux`: no empty, `.` or `..` segments, a leading slash, and the
/// trailing slash kept. A server answers 301 to the cleaned path when it differs.
package enum PathCleaner {
  /// The cleaned form of a decoded path, nil when it is clean already (the usual case, found without
  /// an allocation).
  package static func cleaned(_ path: ArraySlice<UInt8>) -> [UInt8]? {
    isClean(path) ? nil : clean(path)
  }

  private static func isClean(_ path: ArraySlice<UInt8>) -> Bool {
    guard path.first == 0x2F else { return false }
    // A segment is unclean when it is empty (but not the last), `.` or `..`.
    var start = path.startIndex + 1
    var index = start
    while index < path.endIndex {
      if path[index] == 0x2F {
        if isSpecial(path[start..<index]) { return false }
        start = index + 1
      }
      index += 1
    }
    return start == path.endIndex || !isSpecial(path[start...])
  }

  private static func isSpecial(_ segment: ArraySlice<UInt8>) -> Bool {
    switch segment.count {
    case 0: true
    case 1: segment.first == 0x2E
    case 2: segment.first == 0x2E && segment.last == 0x2E
    default: false
    }
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
      case 2 where isSpecial(segment):
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
