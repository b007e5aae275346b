/// What one health check does.
package enum ProbeKind: Sendable, Equatable {
  case http(
    url: String, method: String, headers: [(String, [String])], body: [UInt8],
    tlsSkipVerify: Bool)
  case tcp(address: String)
  case udp(address: String)
  /// `host:port` or `host:port/service`.
  case grpc(target: String, usesTLS: Bool)
  /// Executed as they are, without a shell.
  case script(arguments: [String])
  /// Always critical, for the reason given.
  case unsupported(String)

  package static func == (one: ProbeKind, other: ProbeKind) -> Bool {
    switch (one, other) {
    case (
      .http(let url, let method, let headers, let body, let skips),
      .http(let otherURL, let otherMethod, let otherHeaders, let otherBody, let otherSkips)
    ):
      url == otherURL && method == otherMethod && body == otherBody && skips == otherSkips
        && headers.elementsEqual(otherHeaders) { $0.0 == $1.0 && $0.1 == $1.1 }
    case (.tcp(let address), .tcp(let otherAddress)): address == otherAddress
    case (.udp(let address), .udp(let otherAddress)): address == otherAddress
    case (.grpc(let target, let tls), .grpc(let otherTarget, let otherTLS)):
      target == otherTarget && tls == otherTLS
    case (.script(let arguments), .script(let otherArguments)): arguments == otherArguments
    case (.unsupported(let text), .unsupported(let otherText)): text == otherText
    default: false
    }
  }
}

package enum ProbeStatus: String, Sendable {
  case passing, warning, critical
}

/// One check as it is to be run.
package struct ProbeSpec: Equatable, Sendable {
  package var id: String
  package var kind: ProbeKind
  /// Less than a second counts as one.
  package var intervalNanoseconds: UInt64
  /// 0: ten seconds, for scripts thirty.
  package var timeoutNanoseconds: UInt64
  /// So many results in a row change the status; 0 and 1: the first does.
  package var successBeforePassing: Int
  /// Fewer failures than make it critical make it a warning; 0: as many.
  package var failuresBeforeWarning: Int
  package var failuresBeforeCritical: Int
  package var initialStatus: ProbeStatus
  /// Kept of what the target says.
  package var outputBytesMax: Int

  package init(
    id: String, kind: ProbeKind, intervalNanoseconds: UInt64, timeoutNanoseconds: UInt64 = 0,
    successBeforePassing: Int = 0, failuresBeforeWarning: Int = 0, failuresBeforeCritical: Int = 0,
    initialStatus: ProbeStatus = .critical, outputBytesMax: Int = 4096
  ) {
    self.id = id
    self.kind = kind
    self.intervalNanoseconds = intervalNanoseconds
    self.timeoutNanoseconds = timeoutNanoseconds
    self.successBeforePassing = successBeforePassing
    self.failuresBeforeWarning = failuresBeforeWarning
    self.failuresBeforeCritical = failuresBeforeCritical
    self.initialStatus = initialStatus
    self.outputBytesMax = outputBytesMax
  }
}

package struct CheckLimits: Sendable {
  /// Connections to targets at a time; checks that are due wait for their turn.
  package var probesInFlightMax = 512
  package var redirectsMax = 10
  /// Addresses of one name that are tried.
  package var addressesMax = 4
  /// 169.254.0.0/16 and fe80::/10 hold the metadata services of clouds (security rule S30).
  package var allowsLinkLocal = false
  /// Otherwise a script check is critical and runs nothing (security rule S3).
  package var allowsScripts = false
  package var intervalNanosecondsMin: UInt64 = 1_000_000_000
  package var timeoutNanosecondsDefault: UInt64 = 10_000_000_000
  package var scriptTimeoutNanosecondsDefault: UInt64 = 30_000_000_000
  /// A year; longer intervals and timeouts count as that, so that deadlines cannot overflow.
  package var nanosecondsMax: UInt64 = 366 * 86_400 * 1_000_000_000
  package init() {}
}
