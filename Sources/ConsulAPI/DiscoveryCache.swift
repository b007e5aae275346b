import HTTP

/// Answers of `/v1/health/service/:name` in their encoded form, shared by everybody who asks the same
/// until something about the service changes. Thousands of clients ask for few services, and an
/// answer of a hundred instances takes a hundred times as long to encode as to copy.
///
/// An entry is good as long as the service's own index is the one it was made at: that index moves
/// with every instance, check and node that the answer shows. Only plain questions are kept
/// (`?passing` or not); filters, sorting and metadata are evaluated each time. When it grows over
/// its bounds it starts over empty.
final class DiscoveryCache {
  private struct Entry {
    var index: UInt64
    var body: [UInt8]
  }

  private static let entriesMax = 4096
  private static let bytesMax = 64 << 20
  /// One answer; 10,000 instances take about 12 MB.
  private static let bodyBytesMax = 24 << 20

  private var entries: [[UInt8]: Entry] = [:]
  private var bytes = 0

  /// The name and what else the answer depends on; nil when the question is no plain one.
  static func key(_ read: Read, isPassingOnly: Bool) -> [UInt8]? {
    guard read.filter == nil, !read.options.isPretty else { return nil }
    guard read.query.areAll(among: neutral) else { return nil }
    return read.name + [isPassingOnly ? 1 : 0]
  }

  /// They say when or whom to ask, and do not change the answer; `passing` is in the key.
  private static let neutral: [StaticString] = [
    "passing", "stale", "consistent", "index", "wait", "token", "dc", "max_stale",
  ]

  func body(_ key: [UInt8], index: UInt64) -> [UInt8]? {
    guard let entry = entries[key], entry.index == index else { return nil }
    return entry.body
  }

  func keep(_ key: [UInt8], index: UInt64, body: [UInt8]) {
    let size = key.count + body.count
    guard size <= Self.bodyBytesMax else { return }
    if entries.count >= Self.entriesMax || bytes + size > Self.bytesMax { removeAll() }
    if let old = entries.updateValue(Entry(index: index, body: body), forKey: key) {
      bytes -= key.count + old.body.count
    }
    bytes += size
  }

  /// The state was replaced as a whole: an index may mean something else now.
  func removeAll() {
    entries = [:]
    bytes = 0
  }
}
