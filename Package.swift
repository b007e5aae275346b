// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"), .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .strictMemorySafety(), .treatAllWarnings(as: .error),
]

/// One library target of ours; arrows point downwards only (see `Roost.docc`).
func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

let package = Package(
  name: "roost",
  products: [
    .executable(name: "roost", targets: ["roost"]),
    .library(name: "Raft", targets: ["Raft"]),
    .library(name: "RoostClient", targets: ["RoostClient"]),
  ],
  targets: [
    .target(
      name: "CRoost",
      cSettings: [
        .define("_GNU_SOURCE"), .enableWarning("all"), .enableWarning("extra"),
        .treatAllWarnings(as: .error),
      ]),
    module("Basics"),
    module("Raft", ["Basics"]),
    module("Wire", ["Basics", "CRoost"]),
    module("Storage", ["Basics", "CRoost", "Raft", "Wire"]),
    module("Registry", ["Basics", "Wire"]),
    module("EventLoop", ["Basics", "CRoost"]),
    module("HTTP", ["Basics", "CRoost", "EventLoop"]),
    module("DNS", ["Basics", "CRoost", "EventLoop"]),
    module("Peer", ["Basics", "Wire", "Raft", "EventLoop"]),
    module("Checks", ["Basics", "CRoost", "EventLoop", "HTTP"]),
    module(
      "Node",
      ["Basics", "Raft", "Wire", "Storage", "Registry", "EventLoop", "HTTP", "Peer", "Checks"]),
    module(
      "ConsulAPI", ["Basics", "Raft", "Wire", "Registry", "EventLoop", "HTTP", "Node"]),
    module("RoostClient"),
    .executableTarget(
      name: "roost",
      dependencies: [
        "Basics", "CRoost", "EventLoop", "HTTP", "DNS", "Registry", "Node", "ConsulAPI",
        "RoostClient", "Simulation", "Harness",
      ],
      swiftSettings: strict),
    // Real processes with a network between them that can be broken: tests and `roost nemesis`.
    module(
      "Harness", ["Basics", "Wire", "EventLoop", "RoostClient", "Simulation"]),
    module(
      "Simulation",
      ["Basics", "Raft", "Storage", "Registry", "Wire", "Checks", "Node", "ConsulAPI"]),

    .target(
      name: "CAllocations", path: "Tests/CAllocations",
      cSettings: [.define("_GNU_SOURCE"), .unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
    tests("BasicsTests", ["Basics"]),
    tests("BudgetTests", ["CAllocations", "ConsulAPI", "EventLoop", "HTTP", "Node"]),
    tests("RaftTests", ["Raft", "Basics"]),
    tests("WireTests", ["Wire", "Basics"]),
    tests("StorageTests", ["Storage", "Raft", "Wire", "Basics"]),
    tests("RegistryTests", ["Registry", "Wire", "Basics"]),
    tests("EventLoopTests", ["EventLoop", "Basics", "CRoost"]),
    tests("HTTPTests", ["HTTP", "EventLoop", "Basics", "CRoost"]),
    tests("DNSTests", ["DNS", "EventLoop", "Basics", "CRoost"]),
    tests("PeerTests", ["Peer", "Wire", "Raft", "EventLoop", "Basics"]),
    tests("ChecksTests", ["Checks", "HTTP", "EventLoop", "Basics"]),
    tests(
      "NodeTests",
      [
        "Node", "Raft", "Wire", "Storage", "Registry", "EventLoop", "HTTP", "Peer", "Checks",
        "Basics", "Harness",
      ]),
    tests("ConsulAPITests", ["ConsulAPI", "Node", "Registry", "HTTP", "EventLoop", "Basics"]),
    tests("RoostTests", ["roost", "DNS", "Registry"]),
    tests("RoostClientTests", ["RoostClient"]),
    tests("CommandLineTests", ["roost", "RoostClient"]),
    tests("SimulationTests", ["Simulation", "Raft", "Storage", "Registry", "Wire", "Basics"]),
    tests("ClusterTests", ["Basics", "RoostClient", "Harness"]),
    tests(
      "FuzzTests", ["Basics", "ConsulAPI", "DNS", "EventLoop", "HTTP", "Node", "Registry", "Wire"]),
    tests("TidyTests", ["Basics"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .gnu2x
)
