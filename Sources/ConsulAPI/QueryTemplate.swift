import Registry

/// A prepared query that stands for many names (consul-api.md 16): `name_prefix_match`, with an
/// optional regular expression, and texts in which `${name.full}`, `${name.prefix}`,
/// `${name.suffix}`, `${match(N)}` and `${agent.segment}` are replaced.
enum QueryTemplate {
  struct Fault: Error {
    var message: String
  }

  /// What one text may become.
  private static let textBytesMax = 64 << 10

  static func check(_ query: PreparedQuery) throws(Fault) {
    guard query.templateType == "name_prefix_match" else {
      throw Fault(message: "Bad Template.Type '\(query.templateType)'")
    }
    _ = try rendered(query, name: query.name)
  }

  /// The query for one name. Queries that are no templates stay as they are.
  static func rendered(_ query: PreparedQuery, name: String) throws(Fault) -> PreparedQuery {
    guard query.isTemplate else { return query }
    var values = Values(full: name, prefix: query.name, groups: [])
    if !query.templateRegexp.isEmpty {
      do {
        values.groups = try groups(query.templateRegexp, name)
      } catch {
        throw Fault(message: "Bad Template.Regexp '\(query.templateRegexp)': \(error.message)")
      }
    }
    var result = query
    result.service = try values.replace(query.service, "Service")
    result.near = try values.replace(query.near, "Near")
    if let tags = query.tags {
      var replaced: [String] = []
      for tag in tags {
        let text = try values.replace(tag, "Tags")
        if !query.removeEmptyTags || !text.isEmpty { replaced.append(text) }
      }
      result.tags = replaced
    }
    result.datacenters = try values.replaceAll(query.datacenters, "Datacenters")
    result.ignoreCheckIDs = try values.replaceAll(query.ignoreCheckIDs, "IgnoreCheckIDs")
    result.nodeMeta = try values.replaceAll(query.nodeMeta, "NodeMeta")
    result.serviceMeta = try values.replaceAll(query.serviceMeta, "ServiceMeta")
    return result
  }

  /// Finding groups takes longer than matching, so long names have none.
  private static let nameBytesMax = 512

  private static func groups(_ regexp: String, _ name: String) throws(Pattern.Fault) -> [String] {
    let pattern = try Pattern(parsing: regexp)
    return name.utf8.count <= nameBytesMax ? pattern.captures(in: name) ?? [] : []
  }

  private struct Values {
    let full: String
    let prefix: String
    var groups: [String]

    func replaceAll(_ texts: [String]?, _ what: String) throws(Fault) -> [String]? {
      guard let texts else { return nil }
      var result: [String] = []
      for text in texts { result.append(try replace(text, what)) }
      return result
    }

    func replaceAll(_ map: StringMap?, _ what: String) throws(Fault) -> StringMap? {
      guard let map else { return nil }
      var pairs: [StringPair] = []
      for pair in map.pairs { pairs.append(StringPair(pair.name, try replace(pair.value, what))) }
      return StringMap(pairs)
    }

    /// `$${` stands for `${`.
    func replace(_ text: String, _ what: String) throws(Fault) -> String {
      guard text.utf8.contains(0x24) else { return text }
      var bytes = Array(text.utf8)[...]
      var result: [UInt8] = []
      while let byte = bytes.first {
        if bytes.starts(with: "$${".utf8) {
          result += Array("${".utf8)
          bytes = bytes.dropFirst(3)
        } else if bytes.starts(with: "${".utf8) {
          guard let end = bytes.firstIndex(of: 0x7D) else {
            throw Fault(message: "Bad format '\(text)' in Service.\(what): expected \"}\"")
          }
          let inside = String(decoding: bytes[(bytes.startIndex + 2)..<end], as: UTF8.self)
          guard let value = value(of: inside) else {
            throw Fault(
              message:
                "Bad format '\(text)' in Service.\(what): unknown variable accessed: \(inside)")
          }
          result += Array(value.utf8)
          bytes = bytes[(end + 1)...]
        } else {
          result.append(byte)
          bytes = bytes.dropFirst()
        }
        guard result.count <= QueryTemplate.textBytesMax else {
          throw Fault(message: "Bad format in Service.\(what): the result is too long")
        }
      }
      return String(decoding: result, as: UTF8.self)
    }

    private func value(of expression: String) -> String? {
      let word = String(expression.filter { $0 != " " })
      switch word {
      case "name.full": return full
      case "name.prefix": return prefix
      case "name.suffix":
        return String(decoding: full.utf8.dropFirst(prefix.utf8.count), as: UTF8.self)
      case "agent.segment": return ""
      default:
        guard word.hasPrefix("match("), word.hasSuffix(")"),
          let number = Int(word.dropFirst(6).dropLast())
        else { return nil }
        return groups.indices.contains(number) ? groups[number] : ""
      }
    }
  }
}
