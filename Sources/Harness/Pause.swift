import Glibc

/// Blocking waits of threads that have nothing else to do.
package enum Pause {
  package static func milliseconds(_ count: Int) { usleep(useconds_t(max(0, count)) * 1000) }
}
