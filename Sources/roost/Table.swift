/// Rows under a heading, columns as wide as their widest cell.
struct Table {
  private var rows: [[String]]

  init(_ heading: String...) { self.init(heading) }
  init(_ heading: [String]) { rows = [heading] }

  /// Missing cells at the end are empty, cells without a heading are left out.
  mutating func add(_ cells: String...) { add(cells) }
  mutating func add(_ cells: [String]) {
    let missing = max(0, rows[0].count - cells.count)
    rows.append(
      cells.prefix(rows[0].count).map(Self.printable) + Array(repeating: "", count: missing))
  }

  /// Control characters in what others registered must not reach the terminal.
  static func printable(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) ? "?" : $0 }))
  }

  /// - Parameter style: colours a cell by its row and column; widths do not count colours.
  func render(
    style: (_ row: Int, _ column: Int, _ text: String) -> Console.Style? = { _, _, _ in nil }
  )
    -> String
  {
    let columns = rows[0].count
    let widths = (0..<columns).map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for (number, row) in rows.enumerated() {
      var line = ""
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        let chosen = number == 0 ? .bold : style(number - 1, column, cell)
        line += (chosen.map { Console.styled(cell, $0) } ?? cell)
        if row[(column + 1)...].contains(where: { !$0.isEmpty }) { line += padding + "  " }
      }
      text += line + "\n"
    }
    return text
  }
}

/// Names and values in two columns.
enum PlainRows {
  static func render(_ rows: [(String, String)], width: Int = 17) -> String {
    rows.map { name, value in
      let padding = String(repeating: " ", count: max(1, width - name.count))
      return name + padding + Table.printable(value) + "\n"
    }.joined()
  }
}
