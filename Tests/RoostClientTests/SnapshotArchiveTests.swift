import Foundation
import Testing

@testable import RoostClient

/// Snapshot archives, whole and damaged. The samples were made with other programs.
struct SnapshotArchiveTests {
  static let good = bytes(
    """
    H4sIAAAAAAACA+3WTUvDQBAG4Jz7K0LOVnZ2Z7+8CR70IAhR79nsLFRoC20FUfzvbhV7qCcPtkLf55CdzcAEQl6yc9\
    kM50/r5aL5O6pyzJ9rtb8qMnZXf9331tmmVc0BPK83w6o+sjlNb92jrNaz5aK7aOms7W6uatHpqSGako9WW9ZRMalu\
    21xkean92qy7e1nN60bXsp+9ynaAqvWd1IHbId17A/9d/fo3cp5mx8y/Iv0j/1Yh/4dQ371h63yIyMIp6q8vtXX9w2\
    1/vPxro/bzr9kg/4eQSg4kIzMnFVK0JUUiHt0oPIgQmSjGR47kUsghGKOS94m9Gw1ljqZt598nyEngHGLwvqjM9cgg\
    JblUIg3kitIcii7ZeiNuKMqOFEt0SXKKJQRdfL207e5vNEEyAQAAAAAAAAAAAAAAAAB+5wP/YDQRACgAAA==
    """)

  private static func bytes(_ base64: String) -> [UInt8] {
    Data(base64Encoded: base64).map(Array.init) ?? []
  }

  @Test func metadata() throws {
    let archive = try SnapshotArchive(Self.good)
    #expect(archive.metadata.id == "2-311-1795254290410")
    #expect(archive.metadata.index == 311)
    #expect(archive.metadata.term == 2)
    #expect(archive.files.map(\.name) == ["meta.json", "state.bin", "SHA256SUMS"])
    #expect(archive.files[1].size == 10)
  }

  @Test func aWrongChecksumIsFound() {
    let damaged = Self.bytes(
      """
      H4sIAAAAAAACA+3WPUsDQRAG4KvzK46rTdjZnf2yEyy0EISo/e3tLkRIAkmEoPjfnSimiJWFiZD3KW5nb2Cuufdu52\
      XTT57Xy0Xzd5RwzJ+rOFwVGbuvv+5762zTquYIXtabfiWPbM7TW/dUVuvZctFdtnTRdrfXUnR6bIjG5KPVlnVUTKrb\
      NRe5bKUvTdk9lNVcNlrK6ey17AYoqe+LDNwN6d4b+O/k7d+USZqdMv/yAfiRf0vI/zEo0oat8yFuEYYzNL250tZNH+\
      +mp8u/Nuow/5oN8n8MqeZAZWDmpEKKtqZIxIMbCvelEJlYjI8cyaWQQzBGJe8TezcYyhxN286/T5CjwDnE4H1VmeXI\
      UGpyqUbqyVWlOVRds/WmuL4qO1Cs0aWSU6wh6Orl0rb7v9EIyQQAAAAAAAAAAAAAAAAA+J0PYN/0rwAoAAA=
      """)
    #expect(throws: SnapshotArchive.Failure(description: "the checksum of state.bin is wrong")) {
      try SnapshotArchive(damaged)
    }
  }

  @Test func aMissingChecksumIsFound() {
    let partial = Self.bytes(
      """
      H4sIAAAAAAACA+3WQUuEQBQHcM99CvHcLvNm3sw43YIOdQgCq/uOzoKBLqhBFH33nkUdtnMa7P93mTc+eYL6R7s07b\
      ZP46HP/o4SjvlzFcerImN/6q/j3jqb5SpbwPM47Qa5ZHaa3orHNIztoS8ucjrPi5srKQq9MUQb8sFqyzooJlXMzb5J\
      L9KXpuzu09DJRktZta9pHqCkvksycB5SvGfw38nbP6VtbNfMvyL9K/9WIf9LkHtv2DpfBmThFFXXl9q66uG2WvH7T3\
      ycfy2nI/8LiPumpFQzc1RlDHYfgzyO2tWJdykRmZCMDxzIxbIpS2NU9D6yd7WhhoPJ8+77D/IMaQIAAAAAAAAAAAAA\
      AAAAWM8HhHTwVQAoAAA=
      """)
    #expect(throws: SnapshotArchive.Failure(description: "state.bin has no checksum")) {
      try SnapshotArchive(partial)
    }
  }

  @Test func everyTruncationIsAnError() {
    for count in 0..<Self.good.count {
      #expect(throws: SnapshotArchive.Failure.self) {
        try SnapshotArchive(Array(Self.good[..<count]))
      }
    }
  }

  /// Some bits mean nothing, or say the same in another way; none may trap or change the content.
  @Test func flippedBitsAreErrorsOrHarmless() throws {
    let whole = try SnapshotArchive(Self.good)
    for position in Self.good.indices {
      var damaged = Self.good
      damaged[position] ^= 1 << (position % 8)
      if let archive = try? SnapshotArchive(damaged) {
        #expect(archive.metadata == whole.metadata)
        #expect(archive.files.map(\.size) == whole.files.map(\.size))
      }
    }
  }

  @Test func storedFixedAndDynamicBlocks() throws {
    let text = Self.bytes(
      """
      RGxlYWRlciB0ZXJtIHRlcm0gbm9kZSB0ZXJtIHRlcm0g3XRlcm0gbm9kZSBsZWFkZXIgcm9vc3QgDXRlcm0gdGVybS\
      AOdGVybSD9bGVhZGVyIG5vZGUgbGVhZGVyIHRlcm0gbm9kZSByb29zdCCq2GxlYWRlciCR/8l0ZXJtIHRlcm0gbm9k\
      ZSC7cm9vc3Qg4G5vZGUgbGVhZGVyIHJvb3N0IHJvb3N0IJ1ub2RlIFZyb29zdCBmdGVybSCwdGVybSCJdGVybSBCdG\
      VybSB0ZXJtILpmdGVybSB0ZXJtIHJvb3N0IHRlcm0gbm9kZSBacm9vc3Qgcm9vc3Qgcm9vc3QgdGVybSBsZWFkZXIg\
      bGVhZGVyIDhsZWFkZXIgcm9vc3Qgbm9kZSCCbGVhZGVyIHRlcm0gdGVybSByb29zdCBsZWFkZXIgbGVhZGVyIG5vZG\
      Ugcm9vc3QggWtyb29zdCByb29zdCBub2RlIG5vZGUg5Npwbm9kZSB0ZXJtIHRlcm0gbGVhZGVyIG5vZGUgbGVhZGVy\
      IHJvb3N0IGxlYWRlciB0ZXJtIG5vZGUgBBNvbm9kZSB0ZXJtIGxlYWRlciBub2RlIN10ZXJtIHRlcm0gl3Jvb3N0IK\
      ZsZWFkZXIgbm9kZSBsZWFkZXIgbGVhZGVyIG5vZGUgcm9vc3QgwrA=
      """)
    let samples = [
      """
      H4sIAAAAAAAEAwEAAv/9RGxlYWRlciB0ZXJtIHRlcm0gbm9kZSB0ZXJtIHRlcm0g3XRlcm0gbm9kZSBsZWFkZXIgcm\
      9vc3QgDXRlcm0gdGVybSAOdGVybSD9bGVhZGVyIG5vZGUgbGVhZGVyIHRlcm0gbm9kZSByb29zdCCq2GxlYWRlciCR\
      /8l0ZXJtIHRlcm0gbm9kZSC7cm9vc3Qg4G5vZGUgbGVhZGVyIHJvb3N0IHJvb3N0IJ1ub2RlIFZyb29zdCBmdGVybS\
      CwdGVybSCJdGVybSBCdGVybSB0ZXJtILpmdGVybSB0ZXJtIHJvb3N0IHRlcm0gbm9kZSBacm9vc3Qgcm9vc3Qgcm9v\
      c3QgdGVybSBsZWFkZXIgbGVhZGVyIDhsZWFkZXIgcm9vc3Qgbm9kZSCCbGVhZGVyIHRlcm0gdGVybSByb29zdCBsZW\
      FkZXIgbGVhZGVyIG5vZGUgcm9vc3QggWtyb29zdCByb29zdCBub2RlIG5vZGUg5Npwbm9kZSB0ZXJtIHRlcm0gbGVh\
      ZGVyIG5vZGUgbGVhZGVyIHJvb3N0IGxlYWRlciB0ZXJtIG5vZGUgBBNvbm9kZSB0ZXJtIGxlYWRlciBub2RlIN10ZX\
      JtIHRlcm0gl3Jvb3N0IKZsZWFkZXIgbm9kZSBsZWFkZXIgbGVhZGVyIG5vZGUgcm9vc3QgwrCr6BXBAAIAAA==
      """,
      """
      H4sIAAAAAAACA3PJSU1MSS1SKEktyoUQefkpqUjcuwhBqNKi/PziEgVehBI+MPkXKo2sFKEXomnVDajExP8n0WzcDV\
      HxANMmCDkXLBEG4aSB9W0Ak51g0glh3K40BBuiHGFLFLKRSJJQC6GUBYr9YI1NGOEEkUTViOTVxmxkS8ASYOLJrQK0\
      EMYSbihmI1zPIpyP0Ius7S7CtOkQvcuwmIrpyEMbAKvoFcEAAgAA
      """,
      """
      H4sIAAAAAAACA3PJSU1MSS1SKEktyoUQefkpqUjcuwhBqNKi/PziEgVehBI+MPkXKo2sFKEXomnVDajExP8n0WzcDV\
      HxANMmCDkXLBEG4aSB9W0Ak51g0glh3K40BBuiHGFLFLKRSJJQC6GUBYr9YI1NGOEEkUTViOTVxmxkS8ASYOLJrQK0\
      EMYSbihmI1zPIpyP0Ius7S7CtOkQvcuwmIrpyEMbAKvoFcEAAgAA
      """,
    ].map(Self.bytes)
    for sample in samples {
      #expect(try Inflate.gunzip(sample, outputBytesMax: 10_000) == text)
      #expect(throws: Inflate.Failure(reason: "it is too large")) {
        try Inflate.gunzip(sample, outputBytesMax: text.count - 1)
      }
    }
    // Several members are one file.
    let twice = try Inflate.gunzip(samples[0] + samples[1], outputBytesMax: 10_000)
    #expect(twice == text + text)
  }

  /// FIPS 180-4's examples, and a length on each side of the padding's edge.
  @Test func sha256() {
    func hex(_ text: String) -> String { SHA256.hex(Array(text.utf8)[...]) }
    #expect(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      hex(String(repeating: "a", count: 55))
        == "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318")
    #expect(
      hex(String(repeating: "a", count: 56))
        == "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a")
    #expect(
      hex(String(repeating: "a", count: 1000))
        == "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3")
  }
}
