internal import CRoost

/// CRC32C (Castagnoli), by the CPU's instruction where there is one.
package enum Checksum {
  package static func crc32c(_ bytes: [UInt8], continuing crc: UInt32 = 0) -> UInt32 {
    crc32c(bytes, in: 0..<bytes.count, continuing: crc)
  }

  /// `range` must lie within `bytes`.
  package static func crc32c(
    _ bytes: [UInt8], in range: Range<Int>, continuing crc: UInt32 = 0
  ) -> UInt32 {
    unsafe bytes.withUnsafeBytes { buffer in
      // Sound: `rebasing` checks the range against the buffer; C reads exactly that many bytes.
      let part = unsafe UnsafeRawBufferPointer(rebasing: buffer[range])
      return unsafe croost_crc32c(crc, part.baseAddress, part.count)
    }
  }
}
