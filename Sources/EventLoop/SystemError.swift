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

  /// STUB: the owner adds strerror.
  package var description: String { "\(operation) \(subject): errno \(code)" }
}
