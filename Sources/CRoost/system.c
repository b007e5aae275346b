/* Clocks, memory, disk, text. */
#include "croost.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

static uint64_t read_clock(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t croost_monotonic(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t croost_wall_clock(void) { return read_clock(CLOCK_REALTIME); }

static uint64_t nanoseconds(struct timeval time) {
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_usec * 1000u;
}

/* The second number of /proc/self/statm: resident pages. */
static uint64_t resident_pages(void) {
  char text[128];
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t count = read(fd, text, sizeof text);
  close(fd);
  ssize_t i = 0;
  uint64_t pages = 0;
  while (i < count && text[i] != ' ') i++;
  for (i++; i < count && text[i] >= '0' && text[i] <= '9'; i++)
    pages = pages * 10 + (uint64_t)(text[i] - '0');
  return pages;
}

int croost_usage(struct croost_usage *usage) {
  struct rusage raw;
  if (getrusage(RUSAGE_SELF, &raw) < 0) return -errno;
  usage->user_nanoseconds = nanoseconds(raw.ru_utime);
  usage->system_nanoseconds = nanoseconds(raw.ru_stime);
  usage->peak_resident_bytes = (uint64_t)raw.ru_maxrss * 1024;
  usage->resident_bytes = resident_pages() * (uint64_t)sysconf(_SC_PAGESIZE);
  return 0;
}

int croost_write_out(int descriptor, int64_t offset, int64_t count) {
  const unsigned flags =
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  return sync_file_range(descriptor, offset, count, flags) < 0 ? -errno : 0;
}

int croost_free_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes) {
  struct statvfs raw;
  if (statvfs(path, &raw) < 0) return -errno;
  *free_bytes = (uint64_t)raw.f_bavail * raw.f_frsize;
  *total_bytes = (uint64_t)raw.f_blocks * raw.f_frsize;
  return 0;
}

int croost_processor_count(void) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return 1;
  return CPU_COUNT(&allowed);
}

int64_t croost_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  return limit.rlim_cur > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_cur;
}

int croost_set_descriptor_limit(uint64_t count) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return -errno;
  limit.rlim_cur = count;
  return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

int croost_random(void *bytes, size_t count) {
  uint8_t *next = bytes;
  while (count > 0) {
    ssize_t got = getrandom(next, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    next += got;
    count -= (size_t)got;
  }
  return 0;
}

int croost_terminal_width(int fd) {
  struct winsize size;
  return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

int64_t croost_find_byte(const void *bytes, size_t count, uint8_t byte) {
  if (count == 0) return -1;
  const uint8_t *found = memchr(bytes, byte, count);
  return found ? found - (const uint8_t *)bytes : -1;
}

int64_t croost_find_crlf(const void *bytes, size_t count) {
  if (count < 2) return -1;
  const uint8_t *found = memmem(bytes, count, "\r\n", 2);
  return found ? found - (const uint8_t *)bytes : -1;
}

void croost_error_text(int code, char *text, size_t count) {
  if (count == 0) return;
  char scratch[128];
  const char *found = strerror_r(code, scratch, sizeof scratch);
  strncpy(text, found, count - 1);
  text[count - 1] = 0;
}
