/// Why an archive cannot be used.
struct ArchiveFault: Error, Equatable {
  var message: String
  init(_ message: String) { self.message = message }

  static let truncated = ArchiveFault("unexpected EOF")
  static let damaged = ArchiveFault("flate: corrupt input")
}

/// Deflate (RFC 1951), decoded piece by piece: the whole input is in memory, of the output only a
/// piece and the 32 KB that it may refer back to.
///
/// Every read is checked; a stream that says something impossible is `damaged`, one that ends too
/// early `truncated`. How much comes out is bounded by whoever asks for the pieces.
struct Inflater: Sendable {
  private enum Stage {
    case blockHead
    case stored(Int)
    case symbols
    case done
  }

  static let pieceBytes = 256 << 10
  private static let windowBytes = 32 << 10

  private let input: ArraySlice<UInt8>
  /// The next byte that is not in `bits`.
  private var position: Int
  private var bits: UInt64 = 0
  private var bitCount = 0
  private var stage = Stage.blockHead
  private var isLastBlock = false
  private var literals = HuffmanTable()
  private var distances = HuffmanTable()
  /// The window, then what was not given out yet.
  private var output: [UInt8] = []
  private var given = 0

  init(_ input: ArraySlice<UInt8>) {
    self.input = input
    position = input.startIndex
  }

  /// Where the bytes after the stream begin; for when it is done.
  var end: Int { position - bitCount / 8 }

  /// Nil at the end of the stream.
  mutating func next() throws(ArchiveFault) -> [UInt8]? {
    while output.count - given < Self.pieceBytes {
      switch stage {
      case .blockHead: try beginBlock()
      case .stored(let remaining): try copyStored(remaining)
      case .symbols: try decodeSymbols()
      case .done:
        guard given < output.count else { return nil }
        return takeOutput()
      }
    }
    return takeOutput()
  }

  private mutating func takeOutput() -> [UInt8] {
    let piece = Array(output[given...])
    if output.count > Self.windowBytes { output.removeFirst(output.count - Self.windowBytes) }
    given = output.count
    return piece
  }

  // MARK: Bits

  /// As many as fit; fewer near the end of the input.
  private mutating func fill() {
    while bitCount <= 56, position < input.endIndex {
      bits |= UInt64(input[position]) << UInt64(bitCount)
      position += 1
      bitCount += 8
    }
  }

  private mutating func drop(_ count: Int) {
    bits >>= UInt64(count)
    bitCount -= count
  }

  private mutating func take(_ count: Int) throws(ArchiveFault) -> Int {
    if bitCount < count {
      fill()
      guard bitCount >= count else { throw .truncated }
    }
    let value = Int(bits & (1 << UInt64(count) - 1))
    drop(count)
    return value
  }

  private mutating func symbol(_ table: borrowing HuffmanTable) throws(ArchiveFault) -> Int {
    if bitCount < HuffmanTable.lengthMax { fill() }
    let entry = table.entry(bits)
    let length = Int(entry & 0xF)
    guard length > 0 else { throw bitCount == 0 ? .truncated : .damaged }
    guard length <= bitCount else { throw .truncated }
    drop(length)
    return Int(entry >> 4)
  }

  // MARK: Blocks

  private mutating func beginBlock() throws(ArchiveFault) {
    if isLastBlock {
      stage = .done
      return
    }
    isLastBlock = try take(1) == 1
    switch try take(2) {
    case 0:
      drop(bitCount % 8)
      let length = try take(16)
      guard try take(16) == ~length & 0xFFFF else { throw .damaged }
      stage = .stored(length)
    case 1:
      literals = HuffmanTable.fixedLiterals
      distances = HuffmanTable.fixedDistances
      stage = .symbols
    case 2:
      try readTables()
      stage = .symbols
    default: throw .damaged
    }
  }

  private mutating func copyStored(_ length: Int) throws(ArchiveFault) {
    // Whole bytes that were looked at already go back.
    position -= bitCount / 8
    bits = 0
    bitCount = 0
    guard input.endIndex - position >= length else { throw .truncated }
    output.append(contentsOf: input[position..<position + length])
    position += length
    stage = .blockHead
  }

  /// RFC 1951 section 3.2.7.
  private mutating func readTables() throws(ArchiveFault) {
    let literalCount = try take(5) + 257
    let distanceCount = try take(5) + 1
    let codeCount = try take(4) + 4
    guard literalCount <= 286, distanceCount <= 30 else { throw .damaged }
    let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    var codeLengths = [UInt8](repeating: 0, count: 19)
    for place in order[..<codeCount] { codeLengths[place] = UInt8(try take(3)) }
    let codes = try HuffmanTable(codeLengths, mayBeIncomplete: false)
    var lengths: [UInt8] = []
    while lengths.count < literalCount + distanceCount {
      switch try symbol(codes) {
      case let length where length < 16: lengths.append(UInt8(length))
      case 16:
        guard let last = lengths.last else { throw .damaged }
        lengths += [UInt8](repeating: last, count: try take(2) + 3)
      case 17: lengths += [UInt8](repeating: 0, count: try take(3) + 3)
      default: lengths += [UInt8](repeating: 0, count: try take(7) + 11)
      }
    }
    guard lengths.count == literalCount + distanceCount, lengths[256] > 0 else { throw .damaged }
    literals = try HuffmanTable(Array(lengths[..<literalCount]), mayBeIncomplete: true)
    distances = try HuffmanTable(Array(lengths[literalCount...]), mayBeIncomplete: true)
  }

  private static let lengthBases = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
  ]
  private static let lengthBits = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
  ]
  private static let distanceBases = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
  ]
  private static let distanceBits = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
  ]

  /// Until the block ends or the piece is full.
  private mutating func decodeSymbols() throws(ArchiveFault) {
    while output.count - given < Self.pieceBytes {
      let code = try symbol(literals)
      if code < 256 {
        output.append(UInt8(code))
        continue
      }
      if code == 256 {
        stage = .blockHead
        return
      }
      guard code - 257 < Self.lengthBases.count else { throw .damaged }
      let length = Self.lengthBases[code - 257] + (try take(Self.lengthBits[code - 257]))
      let distanceCode = try symbol(distances)
      guard distanceCode < Self.distanceBases.count else { throw .damaged }
      let extra = try take(Self.distanceBits[distanceCode])
      let distance = Self.distanceBases[distanceCode] + extra
      guard distance <= output.count else { throw .damaged }
      // The copy may overlap what it writes.
      var source = output.count - distance
      for _ in 0..<length {
        output.append(output[source])
        source += 1
      }
    }
  }
}

/// A canonical Huffman code (RFC 1951 section 3.2.2) as one table that is indexed by the next bits.
struct HuffmanTable: Sendable {
  static let lengthMax = 15

  /// Symbol times 16, plus the length of its code; 0: no such code.
  private var entries: [UInt16] = [0]
  private var mask: UInt64 = 0

  init() {}

  /// - Parameter mayBeIncomplete: codes may be missing, as when only one distance is used.
  init(_ lengths: [UInt8], mayBeIncomplete: Bool) throws(ArchiveFault) {
    var counts = [Int](repeating: 0, count: Self.lengthMax + 1)
    for length in lengths { counts[Int(length)] += 1 }
    counts[0] = 0
    var left = 1
    var firsts = [0, 0]
    for length in 1...Self.lengthMax {
      left = left << 1 - counts[length]
      guard left >= 0 else { throw .damaged }
      firsts.append((firsts[length] + counts[length]) << 1)
    }
    guard left == 0 || mayBeIncomplete else { throw .damaged }
    let longest = counts.lastIndex { $0 > 0 } ?? 0
    entries = [UInt16](repeating: 0, count: 1 << longest)
    mask = UInt64(entries.count - 1)
    for (symbol, length) in lengths.enumerated() where length > 0 {
      let code = firsts[Int(length)]
      firsts[Int(length)] += 1
      var index = Self.reversed(code, Int(length))
      while index < entries.count {
        entries[index] = UInt16(symbol) << 4 | UInt16(length)
        index += 1 << Int(length)
      }
    }
  }

  private init(checked lengths: [UInt8]) {
    do {
      self = try HuffmanTable(lengths, mayBeIncomplete: true)
    } catch {
      self.init()
    }
  }

  func entry(_ bits: UInt64) -> UInt16 { entries[Int(bits & mask)] }

  private static func reversed(_ code: Int, _ length: Int) -> Int {
    var result = 0
    for bit in 0..<length where code >> bit & 1 == 1 { result |= 1 << (length - 1 - bit) }
    return result
  }

  /// RFC 1951 section 3.2.6.
  static let fixedLiterals = HuffmanTable(
    checked: [UInt8](repeating: 8, count: 144) + [UInt8](repeating: 9, count: 112)
      + [UInt8](repeating: 7, count: 24) + [UInt8](repeating: 8, count: 8))
  static let fixedDistances = HuffmanTable(checked: [UInt8](repeating: 5, count: 30))
}
