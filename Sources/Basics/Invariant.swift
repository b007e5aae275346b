/// Stops the process with a message when a promise of our own code is broken.
///
/// Stays on in release builds: `precondition` would trap there without its message. Never call it
/// on anything that input from outside can make false; that is an error, not an invariant.
@inlinable
@inline(__always)
package func invariant(
  _ condition: @autoclosure () -> Bool, _ message: @autoclosure () -> String,
  file: StaticString = #fileID, line: UInt = #line
) {
  guard condition() else { fatalError("invariant: " + message(), file: file, line: line) }
}
