package import Foundation
import Glibc

/// Faults between real processes and their disks, without any rights: a small shared library, put
/// in front of the C library by `LD_PRELOAD`, obeys a file that this end writes to.
///
/// Happy path: `init` compiles the library with the compiler that is found in `PATH`; every node
/// gets a control file and is started with `environment(_:)`. Faults take effect at the next call
/// that the node makes. Failures: without a C compiler `init` returns nil, and such tests say that
/// they were skipped.
///
/// A power cut is modelled as in "All File Systems Are Not Created Equal" (OSDI 2014), for data:
/// of what was written and not synced any subset of sectors survives. Names (created, renamed and
/// removed files) are always durable here; the simulator takes care of those.
package final class DiskFaults {
  /// What a node's control file says, by position.
  package enum Fault: Int {
    /// The next sync returns this errno, once.
    case syncErrno
    /// Syncs do not return as long as this is not 0.
    case hang
    /// Writes return this errno as long as it is not 0.
    case writeErrno
    /// Not 0: at its next call the process dies, and of what it wrote and did not sync a part is
    /// undone; the number seeds which.
    case powerCut
    /// Which call kills, a `Point`; see `killCount`.
    case killPoint
    /// The how manieth of those calls kills.
    case killCount
    /// Every sync takes so much longer.
    case syncMicroseconds
  }

  /// Where a process can be killed: before the call, or after it.
  package enum Point: Int, CaseIterable {
    case beforeWrite = 1
    case beforeSync, beforeRename, beforeSend, beforeDirectorySync
    case afterWrite = 17
    case afterSync, afterRename, afterSend, afterDirectorySync
  }

  private let folder: URL
  private let library: URL

  package init?(folder: URL) {
    self.folder = folder
    library = folder.appendingPathComponent("diskfaults.so")
    let source = folder.appendingPathComponent("diskfaults.c")
    do {
      try Data(Self.source.utf8).write(to: source)
      guard try ["cc", "clang", "gcc"].contains(where: { try compile(source, with: $0) }) else {
        return nil
      }
    } catch { return nil }
  }

  private func compile(_ source: URL, with compiler: String) throws -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      compiler, "-O1", "-shared", "-fPIC", "-o", library.path, source.path, "-ldl", "-lpthread",
    ]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus == 0
  }

  private func control(_ node: Int) -> URL { folder.appendingPathComponent("faults-\(node)") }

  /// For the process of a node; clears its faults.
  package func environment(_ node: Int) throws -> [String: String] {
    try Data(count: 4096).write(to: control(node))
    return ["LD_PRELOAD": library.path, "ROOST_DISK_FAULTS": control(node).path]
  }

  package func set(_ fault: Fault, _ value: Int, of node: Int) throws {
    let handle = try FileHandle(forUpdating: control(node))
    try handle.seek(toOffset: UInt64(fault.rawValue * 4))
    let number = UInt32(truncatingIfNeeded: value)
    try handle.write(
      contentsOf: Data((0..<4).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }))
    try handle.close()
  }

  /// The process kills itself at the `count`th such call from now.
  package func kill(at point: Point, count: Int, of node: Int) throws {
    try set(.killCount, count, of: node)
    try set(.killPoint, point.rawValue, of: node)
  }
}

extension DiskFaults {
  fileprivate static let source = #"""
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <sys/socket.h>
    #include <sys/types.h>
    #include <unistd.h>

    enum { SECTOR = 512, UNSYNCED_MAX = 4096, WRITE_MAX = 1 << 20, KEPT_MAX = 1 << 16 };
    struct control {
      volatile uint32_t sync_errno, hang, write_errno, power_cut, kill_point;
      volatile int32_t kill_count;
      volatile uint32_t sync_microseconds;
    };
    struct unsynced { int fd; off_t at; size_t count; char *old; };

    static struct control *control;
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static struct unsynced list[UNSYNCED_MAX];
    static int used;

    __attribute__((constructor)) static void start(void) {
      const char *path = getenv("ROOST_DISK_FAULTS");
      int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
      if (fd < 0) return;
      void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      close(fd);
      if (page != MAP_FAILED) control = page;
    }

    #define REAL(name) \
      static __typeof__(&name) real; \
      if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

    static ssize_t put(int fd, const void *bytes, size_t count, off_t at) {
      static ssize_t (*real)(int, const void *, size_t, off_t);
      if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
      return real(fd, bytes, count, at);
    }

    /* Newest first: a sector that kept what was written last keeps it. */
    static void cut_power(void) {
      static struct { int fd; off_t sector; } kept[KEPT_MAX];
      int keeps = 0;
      unsigned seed = control->power_cut;
      for (int i = used - 1; i >= 0; i--) {
        struct unsynced *w = &list[i];
        for (off_t at = w->at; at < w->at + (off_t)w->count;) {
          off_t sector = at / SECTOR, end = (sector + 1) * SECTOR;
          if (end > w->at + (off_t)w->count) end = w->at + (off_t)w->count;
          int is_kept = 0;
          for (int k = 0; k < keeps && !is_kept; k++)
            is_kept = kept[k].fd == w->fd && kept[k].sector == sector;
          if (!is_kept && rand_r(&seed) % 2 && keeps < KEPT_MAX) {
            kept[keeps].fd = w->fd;
            kept[keeps++].sector = sector;
            is_kept = 1;
          }
          if (!is_kept) put(w->fd, w->old + (at - w->at), end - at, at);
          at = end;
        }
      }
      kill(getpid(), SIGKILL);
    }

    static void reach(uint32_t point) {
      if (!control) return;
      if (control->power_cut) {
        pthread_mutex_lock(&mutex);
        cut_power();
      }
      if (control->kill_point == point && __sync_sub_and_fetch(&control->kill_count, 1) == 0)
        kill(getpid(), SIGKILL);
    }

    static void remember(int fd, size_t count, off_t at) {
      if (!control || count > WRITE_MAX) return;
      char *old = calloc(1, count);
      if (!old) return;
      if (pread(fd, old, count, at) < 0) { free(old); return; }
      pthread_mutex_lock(&mutex);
      if (used < UNSYNCED_MAX) list[used++] = (struct unsynced){fd, at, count, old};
      else free(old);
      pthread_mutex_unlock(&mutex);
    }

    static void forget(int fd) {
      pthread_mutex_lock(&mutex);
      int left = 0;
      for (int i = 0; i < used; i++) {
        if (list[i].fd == fd) free(list[i].old);
        else list[left++] = list[i];
      }
      used = left;
      pthread_mutex_unlock(&mutex);
    }

    ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
      reach(1);
      if (control && control->write_errno) { errno = control->write_errno; return -1; }
      remember(fd, count, at);
      ssize_t result = put(fd, bytes, count, at);
      reach(17);
      return result;
    }

    static int fault_sync(void) {
      if (!control) return 0;
      while (control->hang) usleep(1000);
      if (control->sync_microseconds) usleep(control->sync_microseconds);
      uint32_t code = control->sync_errno;
      if (!code || !__sync_bool_compare_and_swap(&control->sync_errno, code, 0)) return 0;
      errno = code;
      return -1;
    }

    int fdatasync(int fd) {
      REAL(fdatasync);
      reach(2);
      if (fault_sync()) return -1;
      int result = real(fd);
      if (!result) forget(fd);
      reach(18);
      return result;
    }

    int fsync(int fd) {
      REAL(fsync);
      reach(5);
      if (fault_sync()) return -1;
      int result = real(fd);
      if (!result) forget(fd);
      reach(21);
      return result;
    }

    int rename(const char *from, const char *to) {
      REAL(rename);
      reach(3);
      int result = real(from, to);
      reach(19);
      return result;
    }

    ssize_t send(int fd, const void *bytes, size_t count, int flags) {
      REAL(send);
      reach(4);
      ssize_t result = real(fd, bytes, count, flags);
      reach(20);
      return result;
    }

    int close(int fd) {
      REAL(close);
      if (used) forget(fd);
      return real(fd);
    }
    """#
}
