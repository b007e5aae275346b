internal import Glibc
internal import RoostClient

/// Keeps a watch going while no node answers or none leads.
enum PatientWatch {
  private static let retrySeconds: UInt32 = 1

  /// The next change. What the cluster cannot answer just now is told on standard error and tried
  /// again: then it returns nil. What is wrong with the request itself is thrown.
  static func next(_ watch: inout Watch) throws(RoostError) -> Roost.Response? {
    do throws(RoostError) {
      return try watch.next()
    } catch {
      switch error {
      case .unreachable where watch.index > 0, .status(500..., _) where watch.index > 0:
        Console.printError("roost: \(error); trying again")
        sleep(retrySeconds)
        return nil
      default:
        throw error
      }
    }
  }
}
