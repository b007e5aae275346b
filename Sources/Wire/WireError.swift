/// Why bytes could not be decoded.
package enum WireError: Error, Equatable, Sendable {
  /// The input ended inside a value.
  case truncated
  /// A varint of more than 64 bits, or not in its shortest form.
  case badVarint
  /// A length above the limit given, or above what is left.
  case tooLong
  /// A tag or enum value that this version does not know.
  case unknownTag(UInt64)
  /// Text that is not UTF-8.
  case badText
  /// Bytes left over after the last value.
  case trailingBytes
  /// The checksum does not match.
  case badChecksum
}
