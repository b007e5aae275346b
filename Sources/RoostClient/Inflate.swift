/// Decompresses a gzip file (RFC 1952) of deflated data (RFC 1951), for looking into a snapshot.
///
/// Happy path: `gunzip` reads members until the input ends and checks the length and CRC-32 of each.
/// Failures: whatever breaks the format, ends early or grows beyond the limit is an error.
struct Inflate {
  struct Failure: Error, Equatable { let reason: String }

  private let input: [UInt8]
  private var position = 0
  private var bits: UInt32 = 0
  private var bitCount: UInt32 = 0
  private var output: [UInt8] = []
  private let outputBytesMax: Int

  private init(_ input: [UInt8], outputBytesMax: Int) {
    self.input = input
    self.outputBytesMax = outputBytesMax
  }

  static func gunzip(_ input: [UInt8], outputBytesMax: Int) throws(Failure) -> [UInt8] {
    var inflate = Inflate(input, outputBytesMax: outputBytesMax)
    repeat { try inflate.readMember() } while inflate.position < input.count
    return inflate.output
  }

  private mutating func readMember() throws(Failure) {
    guard try byte() == 0x1F, try byte() == 0x8B else { throw Failure(reason: "not gzip") }
    guard try byte() == 8 else { throw Failure(reason: "unknown compression") }
    let flags = try byte()
    for _ in 0..<6 { _ = try byte() }
    if flags & 4 != 0 {
      let low = try byte()
      let length = Int(low) | Int(try byte()) << 8
      for _ in 0..<length { _ = try byte() }
    }
    // File name, then comment, each ends with a zero.
    for flag: UInt8 in [8, 16] where flags & flag != 0 {
      while try byte() != 0 {}
    }
    if flags & 2 != 0 { for _ in 0..<2 { _ = try byte() } }
    let start = output.count
    bits = 0
    bitCount = 0
    while try readBlock(memberStart: start) {}
    let (checksum, length) = (try word(), try word())
    guard length == UInt32(truncatingIfNeeded: output.count - start) else {
      throw Failure(reason: "the length is wrong")
    }
    guard checksum == CRC32.of(output[start...]) else {
      throw Failure(reason: "the checksum is wrong")
    }
  }

  /// False after the last block.
  private mutating func readBlock(memberStart: Int) throws(Failure) -> Bool {
    let isLast = try take(1) == 1
    switch try take(2) {
    case 0: try copyStored()
    case 1: try inflateBlock(.fixedLiterals, .fixedDistances, memberStart)
    case 2:
      let (literals, distances) = try readCodes()
      try inflateBlock(literals, distances, memberStart)
    default: throw Failure(reason: "a bad block")
    }
    return !isLast
  }

  private mutating func copyStored() throws(Failure) {
    // Stored blocks begin at a whole byte; at most seven bits are buffered here.
    bits = 0
    bitCount = 0
    let low = try byte()
    let length = Int(low) | Int(try byte()) << 8
    let lowInverse = try byte()
    let inverse = Int(lowInverse) | Int(try byte()) << 8
    guard length ^ inverse == 0xFFFF else { throw Failure(reason: "a bad stored block") }
    guard length <= input.count - position else { throw Failure(reason: "it ends early") }
    try reserve(length)
    output += input[position..<position + length]
    position += length
  }

  private mutating func inflateBlock(
    _ literals: HuffmanCode, _ distances: HuffmanCode, _ memberStart: Int
  ) throws(Failure) {
    while true {
      let symbol = try decode(literals)
      if symbol == 256 { return }
      if symbol < 256 {
        try reserve(1)
        output.append(UInt8(symbol))
        continue
      }
      let row = symbol - 257
      guard row < Self.lengths.count else { throw Failure(reason: "a bad length") }
      let length = Self.lengths[row] + Int(try take(Self.lengthBits[row]))
      let far = try decode(distances)
      guard far < Self.distances.count else { throw Failure(reason: "a bad distance") }
      let distance = Self.distances[far] + Int(try take(UInt32(max(0, far / 2 - 1))))
      guard distance <= output.count - memberStart else {
        throw Failure(reason: "a distance beyond the start")
      }
      try reserve(length)
      for _ in 0..<length { output.append(output[output.count - distance]) }
    }
  }

  /// The code lengths of a dynamic block (3.2.7), themselves compressed.
  private mutating func readCodes() throws(Failure) -> (HuffmanCode, HuffmanCode) {
    let literalCount = Int(try take(5)) + 257
    let distanceCount = Int(try take(5)) + 1
    let codeCount = Int(try take(4)) + 4
    let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    var codeLengths = [UInt8](repeating: 0, count: 19)
    for i in 0..<codeCount { codeLengths[order[i]] = UInt8(try take(3)) }
    let code = try HuffmanCode(codeLengths)
    var lengths: [UInt8] = []
    while lengths.count < literalCount + distanceCount {
      switch try decode(code) {
      case let symbol where symbol < 16: lengths.append(UInt8(symbol))
      case 16:
        guard let last = lengths.last else { throw Failure(reason: "bad code lengths") }
        for _ in 0..<(3 + Int(try take(2))) { lengths.append(last) }
      case 17: for _ in 0..<(3 + Int(try take(3))) { lengths.append(0) }
      default: for _ in 0..<(11 + Int(try take(7))) { lengths.append(0) }
      }
    }
    guard lengths.count == literalCount + distanceCount else {
      throw Failure(reason: "bad code lengths")
    }
    return (
      try HuffmanCode(Array(lengths[..<literalCount])),
      try HuffmanCode(Array(lengths[literalCount...]))
    )
  }

  private static let lengths = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
  ]
  private static let lengthBits: [UInt32] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
  ]
  private static let distances = [
    1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537,
    2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577,
  ]

  // MARK: Bits

  private mutating func byte() throws(Failure) -> UInt8 {
    guard position < input.count else { throw Failure(reason: "it ends early") }
    defer { position += 1 }
    return input[position]
  }

  private mutating func word() throws(Failure) -> UInt32 {
    var value: UInt32 = 0
    for shift: UInt32 in [0, 8, 16, 24] { value |= UInt32(try byte()) << shift }
    return value
  }

  /// At most 13 bits, the lowest first.
  private mutating func take(_ count: UInt32) throws(Failure) -> UInt32 {
    while bitCount < count {
      bits |= UInt32(try byte()) << bitCount
      bitCount += 8
    }
    let value = bits & ((1 << count) - 1)
    bits >>= count
    bitCount -= count
    return value
  }

  private mutating func decode(_ code: HuffmanCode) throws(Failure) -> Int {
    var word = 0
    var first = 0
    var index = 0
    for length in 1...15 {
      word |= Int(try take(1))
      let count = code.counts[length]
      if word - first < count { return code.symbols[index + word - first] }
      index += count
      first = (first + count) << 1
      word <<= 1
    }
    throw Failure(reason: "a bad code")
  }

  private func reserve(_ count: Int) throws(Failure) {
    guard count <= outputBytesMax - output.count else { throw Failure(reason: "it is too large") }
  }
}

/// A canonical Huffman code (RFC 1951, 3.2.2): how many codes have each length, and their symbols in
/// order.
struct HuffmanCode {
  fileprivate var counts = [Int](repeating: 0, count: 16)
  fileprivate var symbols: [Int] = []

  static let fixedLiterals = HuffmanCode(
    unchecked: (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 })
  static let fixedDistances = HuffmanCode(unchecked: [UInt8](repeating: 5, count: 30))

  private init(unchecked lengths: [UInt8]) {
    for length in lengths where length > 0 { counts[Int(length)] += 1 }
    for length in 1...15 {
      for (symbol, own) in lengths.enumerated() where Int(own) == length { symbols.append(symbol) }
    }
  }

  /// - Parameter lengths: below 16 each, by symbol; 0: not used.
  init(_ lengths: [UInt8]) throws(Inflate.Failure) {
    self.init(unchecked: lengths)
    var left = 1
    for length in 1...15 {
      left = left << 1 - counts[length]
      guard left >= 0 else { throw Inflate.Failure(reason: "too many codes") }
    }
  }
}

/// The checksum of gzip (RFC 1952, 8).
enum CRC32 {
  private static let table: [UInt32] = (0..<256).map { number in
    (0..<8).reduce(UInt32(number)) { value, _ in
      value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1
    }
  }

  static func of(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    var value: UInt32 = 0xFFFF_FFFF
    for byte in bytes {
      value = table[Int((value ^ UInt32(byte)) & 0xFF)] ^ (value >> 8)
    }
    return ~value
  }
}
