/// The Huffman code of HPACK (RFC 7541 appendix B), decoding only.
///
/// The code is canonical: sorted by length, then by symbol, each code is the one before plus one. So
/// the lengths of the 257 codes are all there is to know.
struct HPACKHuffman: Sendable {
  private static let endOfString = 256
  private static let bitsMax = 30
  /// Of each byte and of the end-of-string symbol.
  private static let lengths: [UInt8] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
    6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23,
    23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22,
    22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26,
    27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
    25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
  ]

  static let shared = HPACKHuffman()

  /// Per length: the first code of that length, and where its symbols begin in `symbols`.
  private var firstCodes = [Int](repeating: 0, count: bitsMax + 1)
  private var counts = [Int](repeating: 0, count: bitsMax + 1)
  private var offsets = [Int](repeating: 0, count: bitsMax + 1)
  private var symbols: [Int] = []

  private init() {
    var code = 0
    for bits in 1...Self.bitsMax {
      firstCodes[bits] = code
      offsets[bits] = symbols.count
      for (symbol, length) in Self.lengths.enumerated() where Int(length) == bits {
        symbols.append(symbol)
        counts[bits] += 1
      }
      code = (code + counts[bits]) << 1
    }
  }

  /// Nil when it is no Huffman text, or longer than `bytesMax` decoded.
  func decode(_ bytes: ArraySlice<UInt8>, bytesMax: Int) -> [UInt8]? {
    var result: [UInt8] = []
    var code = 0
    var bits = 0
    for byte in bytes {
      for shift in stride(from: 7, through: 0, by: -1) {
        code = code << 1 | Int(byte >> UInt8(shift)) & 1
        bits += 1
        guard bits <= Self.bitsMax else { return nil }
        let place = code - firstCodes[bits]
        guard place >= 0, place < counts[bits] else { continue }
        let symbol = symbols[offsets[bits] + place]
        // The symbol itself may not occur (5.2).
        guard symbol != Self.endOfString, result.count < bytesMax else { return nil }
        result.append(UInt8(symbol))
        code = 0
        bits = 0
      }
    }
    // What is left is padding: fewer than eight bits, all ones.
    return bits < 8 && code == (1 << bits) - 1 ? result : nil
  }
}
