extension Configuration {
  /// The bytes of a `.configuration` entry. STUB.
  public func encoded() -> [UInt8] { fatalError("stub") }

  /// Nil when the bytes are no configuration. STUB.
  public init?(decoding bytes: [UInt8]) { fatalError("stub") }
}
