internal import Node

extension Command {
  private static let recoverFlags = [
    Flag("data-dir", "DIR", "the data directory of the survivor; its node must be stopped"),
    Flag("datacenter", "NAME", "as in its configuration (dc1)"),
    Flag("apply", "do it; without this flag nothing is changed"),
  ]

  static let recover = Command(
    name: "recover", summary: "start a new cluster from one survivor when the majority is lost",
    usage: "--data-dir DIR [--apply]", flags: recoverFlags,
    details: """
      Only when a majority of the members can never come back. Take the survivor with the highest
      term and last index. Its whole log counts as committed from then on; what only the lost members
      had is lost. The old members can never join the new cluster with their old data.
      """
  ) { input in
    let arguments = try Arguments(input, flags: recoverFlags)
    try arguments.expect()
    guard let directory = arguments.value("data-dir") else {
      throw UsageError("--data-dir is missing")
    }
    do {
      let recovery = try Recovery(
        directory, datacenter: arguments.value("datacenter") ?? "dc1")
      describe(recovery)
      guard arguments.has("apply") else {
        Console.print("Nothing was changed. Compare the other survivors, then add --apply.")
        return 0
      }
      let id = try recovery.apply()
      Console.print("Done: \(recovery.nodeName) is a cluster of its own now, id \(id).")
      Console.print("Start it as before. Wipe the data of the others; they join it empty.")
      return 0
    } catch let failure as StartFailure {
      throw CommandFailure(failure.message)
    }
  }

  private static func describe(_ recovery: Recovery) {
    Console.print("node \(recovery.nodeName) of cluster \(recovery.cluster)")
    Console.print("cluster id         \(recovery.clusterID ?? "not known yet")")
    Console.print("term               \(recovery.term)")
    Console.print("last entry         index \(recovery.lastIndex), term \(recovery.lastTerm)")
    Console.print("known committed    index \(recovery.commitIndex) (or later)")
    Console.print("snapshot           index \(recovery.snapshotIndex)")
    for member in recovery.members {
      let kind = member.isVoter ? "voter" : "learner"
      let own = member.isThisNode ? ", this node" : ""
      Console.print("member             \(member.name) at \(member.address), \(kind)\(own)")
    }
    Console.print(
      "May be missing: whatever the others acknowledged after index \(recovery.lastIndex).")
    Console.print(
      "May appear: entries after the last committed one, whose clients got no answer.")
  }
}
