package struct HTTPLimits: Sendable {
  package var requestLineBytesMax = 8 << 10
  package var headerBytesMax = 16 << 10
  package var headerCountMax = 100
  /// Bodies above this are refused with 413 and the connection is closed; a handler may have a
  /// smaller limit of its own (`bodyLimit`).
  package var bodyBytesMax = 64 << 20
  /// Requests to this very path (not decoded) may have bodies up to `largeBodyBytesMax` instead.
  package var largeBodyPath = ""
  package var largeBodyBytesMax = 0
  /// An idle connection, a long poll included, holds less than 4 KB of this process.
  package var connectionsMax = 32_768
  /// A gateway or one big host may hold a long poll for each of ten thousand names.
  package var connectionsPerClientMax = 16_384
  /// Requests of one connection that may wait for answers at a time.
  package var pipelineMax = 128
  /// No further request of a connection is parsed while it owes its client so many bytes.
  package var outputHighWater = 1 << 20
  package var idleSeconds = 300
  package var headerSeconds = 20
  /// A body must arrive at least this fast, in bytes per second, after a grace period.
  package var bodyBytesPerSecondMin = 1024
  package var bodyGraceSeconds = 10
  /// A client that takes nothing of a waiting answer for this long is cut off.
  package var stallSeconds = 60
  package init() {}
}
