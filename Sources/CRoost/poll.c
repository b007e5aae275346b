/* epoll, eventfd, pipes. */
#include "croost.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CROOST_READABLE == EPOLLIN, "readable");
_Static_assert(CROOST_WRITABLE == EPOLLOUT, "writable");
_Static_assert(CROOST_ERROR == EPOLLERR, "error");
_Static_assert(CROOST_HANGUP == EPOLLHUP, "hang-up");

#define EVENTS_MAX 1024

static int result(int value) { return value < 0 ? -errno : value; }

int croost_epoll_create(void) { return result(epoll_create1(EPOLL_CLOEXEC)); }

static int control(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data = {.u64 = data}};
  return result(epoll_ctl(epoll, operation, fd, &event));
}

int croost_epoll_add(int epoll, int fd, uint32_t events, uint64_t data) {
  return control(epoll, EPOLL_CTL_ADD, fd, events, data);
}

int croost_epoll_modify(int epoll, int fd, uint32_t events, uint64_t data) {
  return control(epoll, EPOLL_CTL_MOD, fd, events, data);
}

int croost_epoll_remove(int epoll, int fd) { return control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

static int wait_milliseconds(int64_t nanoseconds) {
  if (nanoseconds < 0) return -1;
  int64_t milliseconds = nanoseconds / 1000000 + (nanoseconds % 1000000 != 0);
  return milliseconds > 3600000 ? 3600000 : (int)milliseconds;
}

int croost_epoll_wait(int epoll, struct croost_event *events, int count, int64_t nanoseconds) {
  /* Kernels before 5.11 lack epoll_pwait2; there a wait is rounded up to a millisecond. */
  static _Atomic int has_precise_wait = 1;
  struct epoll_event raw[EVENTS_MAX];
  if (count > EVENTS_MAX) count = EVENTS_MAX;
  int ready = -1;
  if (has_precise_wait) {
    struct timespec limit = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
    ready = epoll_pwait2(epoll, raw, count, nanoseconds < 0 ? NULL : &limit, NULL);
    if (ready < 0 && (errno == ENOSYS || errno == EPERM)) has_precise_wait = 0;
  }
  if (!has_precise_wait) ready = epoll_wait(epoll, raw, count, wait_milliseconds(nanoseconds));
  if (ready < 0) return errno == EINTR ? 0 : -errno;
  for (int i = 0; i < ready; i++) {
    events[i].data = raw[i].data.u64;
    events[i].events = raw[i].events;
  }
  return ready;
}

int croost_eventfd(int semaphore, int nonblocking) {
  int flags = EFD_CLOEXEC | (semaphore ? EFD_SEMAPHORE : 0) | (nonblocking ? EFD_NONBLOCK : 0);
  return result(eventfd(0, flags));
}

int croost_eventfd_post(int fd, uint64_t count) {
  return eventfd_write(fd, count) < 0 ? -errno : 0;
}

int croost_eventfd_take(int fd, uint64_t *value) {
  eventfd_t taken = 0;
  int failed;
  do failed = eventfd_read(fd, &taken); while (failed < 0 && errno == EINTR);
  *value = taken;
  return failed < 0 ? -errno : 0;
}

int croost_pipe(int fds[2], int nonblocking) {
  return result(pipe2(fds, O_CLOEXEC | (nonblocking ? O_NONBLOCK : 0)));
}

int croost_close(int fd) { return result(close(fd)); }

int croost_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -errno : result(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

int croost_spare_descriptor(void) { return result(open("/dev/null", O_RDONLY | O_CLOEXEC)); }
