/// A parsed JSON value. Objects keep their order and duplicates (the last one counts).
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// As written; `-?[0-9.eE+-]+`, checked against the grammar.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object([JSONMember])
}

package struct JSONMember: Sendable, Equatable {
  package var name: String
  package var value: JSONValue
  package init(name: String, value: JSONValue) {
    self.name = name
    self.value = value
  }
}

package struct JSONError: Error, Sendable, Equatable {
  /// In the words of Go's decoder where it has them ("invalid character 'x' looking for …", "EOF").
  package var message: String
  /// Byte offset of the fault.
  package var offset: Int

  package init(message: String, offset: Int) {
    self.message = message
    self.offset = offset
  }
}
