/// The method of a request; names are case-sensitive (RFC 9110 9.1).
package enum HTTPMethod: Equatable, Sendable {
  case get, put, post, delete, head, options, patch
  /// Another token, as sent.
  case other(String)

  package init(name: String) {
    switch name {
    case "GET": self = .get
    case "PUT": self = .put
    case "POST": self = .post
    case "DELETE": self = .delete
    case "HEAD": self = .head
    case "OPTIONS": self = .options
    case "PATCH": self = .patch
    default: self = .other(name)
    }
  }

  /// As on the request line.
  package var name: String {
    switch self {
    case .get: "GET"
    case .put: "PUT"
    case .post: "POST"
    case .delete: "DELETE"
    case .head: "HEAD"
    case .options: "OPTIONS"
    case .patch: "PATCH"
    case .other(let name): name
    }
  }
}
