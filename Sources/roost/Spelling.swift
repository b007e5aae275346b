/// Finds what somebody probably meant.
enum Spelling {
  /// The candidate within two edits (one for words of up to three letters), nil if there is none.
  static func nearest(to word: String, among candidates: [String]) -> String? {
    let limit = word.count <= 3 ? 1 : 2
    var best: (distance: Int, name: String)?
    for name in candidates where abs(name.count - word.count) <= limit {
      let distance = distance(Array(word), Array(name))
      if distance <= limit, distance < best?.distance ?? .max { best = (distance, name) }
    }
    return best?.name
  }

  /// Levenshtein's: insertions, deletions and replacements.
  static func distance(_ a: [Character], _ b: [Character]) -> Int {
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
      var diagonal = row[0]
      row[0] = i + 1
      for (j, y) in b.enumerated() {
        let replaced = diagonal + (x == y ? 0 : 1)
        diagonal = row[j + 1]
        row[j + 1] = min(replaced, row[j + 1] + 1, row[j] + 1)
      }
    }
    return row[b.count]
  }
}
