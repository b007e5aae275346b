internal import Foundation

/// What the processes behind a listening port use, from `/proc`; only for local ports.
struct ProcessCost {
  struct Sample {
    var cpuSeconds: Double
    var residentBytes: Int
  }

  let processes: [Int32]

  init(processes: [Int32]) { self.processes = processes }

  /// Every process that has a socket listening there (a server may fork workers).
  init?(listeningOn port: UInt16) {
    let inodes = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap { Self.listeners($0, port) }
    guard !inodes.isEmpty else { return nil }
    let wanted = Set(inodes.map { "socket:[\($0)]" })
    let manager = FileManager.default
    let all = ((try? manager.contentsOfDirectory(atPath: "/proc")) ?? []).compactMap { Int32($0) }
    processes = all.sorted().filter { process in
      let folder = "/proc/\(process)/fd"
      let names = (try? manager.contentsOfDirectory(atPath: folder)) ?? []
      return names.contains { name in
        (try? manager.destinationOfSymbolicLink(atPath: "\(folder)/\(name)"))
          .map(wanted.contains) ?? false
      }
    }
    if processes.isEmpty { return nil }
  }

  private static func listeners(_ file: String, _ port: UInt16) -> [String] {
    let suffix = ":" + String(format: "%04X", Int(port))
    return read(file).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count > 9, fields[1].hasSuffix(suffix), fields[3] == "0A" else { return nil }
      return String(fields[9])
    }
  }

  /// Files of `/proc` have no size, so they are read to their end.
  private static func read(_ file: String) -> String {
    guard let bytes = try? Console.readFile(file) else { return "" }
    return String(decoding: bytes, as: UTF8.self)
  }

  func sample() -> Sample {
    var sample = Sample(cpuSeconds: 0, residentBytes: 0)
    for process in processes {
      // The name may hold blanks and ends with the last parenthesis (proc(5)).
      let text = Self.read("/proc/\(process)/stat")
      guard let end = text.lastIndex(of: ")") else { continue }
      let fields = text[end...].split(separator: " ")
      guard fields.count > 22 else { continue }
      let ticks = (Double(fields[12]) ?? 0) + (Double(fields[13]) ?? 0)
      sample.cpuSeconds += ticks / Self.ticksPerSecond
      sample.residentBytes += (Int(fields[22]) ?? 0) * 4096
    }
    return sample
  }

  /// `USER_HZ`, which Linux fixes at 100 for programs.
  private static let ticksPerSecond = 100.0
}
