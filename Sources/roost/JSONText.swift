/// Works on JSON as text, so that order, numbers and unknown fields stay as the node sent them.
enum JSONText {
  /// Indented by four blanks, as Consul's command line prints.
  static func indented(_ json: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var depth = 0
    var isInString = false
    var isEscaped = false
    func newLine() {
      result.append(10)
      result += Array(repeating: 0x20, count: 4 * depth)
    }
    for byte in json {
      if isInString {
        result.append(byte)
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          isInString = false
        }
        continue
      }
      switch byte {
      case 9, 10, 13, 0x20: continue
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        result.append(byte)
        depth += 1
        newLine()
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        depth = max(0, depth - 1)
        // What is empty stays on one line.
        while result.last == 0x20 || result.last == 10 { result.removeLast() }
        if result.last != UInt8(ascii: "{"), result.last != UInt8(ascii: "[") { newLine() }
        result.append(byte)
      case UInt8(ascii: ","):
        result.append(byte)
        newLine()
      case UInt8(ascii: ":"):
        result += [byte, 0x20]
      default:
        isInString = byte == UInt8(ascii: "\"")
        result.append(byte)
      }
    }
    return result
  }

  /// What stands between the brackets of a list of one.
  static func onlyElement(_ json: [UInt8]) -> [UInt8] {
    guard let start = json.firstIndex(of: UInt8(ascii: "[")),
      let end = json.lastIndex(of: UInt8(ascii: "]")), start < end
    else { return json }
    return Array(json[(start + 1)..<end])
  }
}
