/// One line per message to standard error: `time level component message key=value …`. STUB.
package struct Logger: Sendable {
  package var level: NodeConfiguration.LogLevel
  package var json: Bool
  package init(level: NodeConfiguration.LogLevel, json: Bool) {
    self.level = level
    self.json = json
  }
  package func log(
    _ level: NodeConfiguration.LogLevel, _ component: StaticString, _ message: String,
    _ fields: [(StaticString, String)] = []
  ) { fatalError("stub") }
}
