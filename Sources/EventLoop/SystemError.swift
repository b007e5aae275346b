internal import CRoost
internal import Glibc

/// A failed system call: what was tried, on what, and errno.
package struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
  package var operation: String
  package var subject: String
  package var code: Int32

  package init(operation: String, subject: String, code: Int32) {
    self.operation = operation
    self.subject = subject
    self.code = code
  }

  /// "listen 127.0.0.1:8500: address already in use".
  package var description: String { "\(operation) \(subject): \(SystemError.text(of: code))" }

  /// The system's words for an errno, as they stand in the middle of a sentence.
  package static func text(of code: Int32) -> String {
    var bytes = [UInt8](repeating: 0, count: 128)
    unsafe bytes.withUnsafeMutableBytes { buffer in
      // Sound: C writes at most `count` bytes and always a terminating zero.
      let text = unsafe buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
      unsafe croost_error_text(code, text, buffer.count)
    }
    if bytes[0] >= 0x41, bytes[0] <= 0x5A { bytes[0] += 0x20 }
    return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }
}

extension SystemError {
  /// Nobody listens there (any more): refused, or reset while connecting.
  package var isRefusal: Bool {
    code == ECONNREFUSED || code == ECONNRESET || code == EPIPE
  }
}
