/* The C shim: what Glibc's Swift module lacks. Everything here is a thin wrapper.
 *
 * Unless it says otherwise a function that can fail returns a negative errno, so that no caller
 * has to read errno before something else overwrites it. All descriptors made here are
 * close-on-exec; sockets are non-blocking. */
#ifndef CROOST_H
#define CROOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- crc32c.c ---- */

/* CRC32C (Castagnoli), RFC 3720 appendix B.4. Feed the previous result to continue; start with 0. */
uint32_t croost_crc32c(uint32_t crc, const void *bytes, size_t count);

/* ---- base64.c ---- */

/* Writes the base64 form (RFC 4648 section 4, with padding) of `count` bytes: (count + 2) / 3 * 4
 * symbols. */
void croost_base64_encode(const void *bytes, size_t count, void *text);

/* ---- poll.c: epoll and eventfd ---- */

#define CROOST_READABLE 0x001u
#define CROOST_WRITABLE 0x004u
#define CROOST_ERROR 0x008u
#define CROOST_HANGUP 0x010u

/* epoll_event without the packed union. */
struct croost_event {
  uint64_t data;
  uint32_t events;
  uint32_t unused;
};

int croost_epoll_create(void);
int croost_epoll_add(int epoll, int fd, uint32_t events, uint64_t data);
int croost_epoll_modify(int epoll, int fd, uint32_t events, uint64_t data);
int croost_epoll_remove(int epoll, int fd);
/* Waits at most `nanoseconds` (negative: for ever). Returns how many of `events` were filled in;
 * 0 also when a signal interrupted it. */
int croost_epoll_wait(int epoll, struct croost_event *events, int count, int64_t nanoseconds);

/* `semaphore`: each read takes one; otherwise a read takes all. */
int croost_eventfd(int semaphore, int nonblocking);
int croost_eventfd_post(int fd, uint64_t count);
/* Returns 0 and the value, -EAGAIN when there is nothing (non-blocking). */
int croost_eventfd_take(int fd, uint64_t *value);
int croost_pipe(int fds[2], int nonblocking);
int croost_close(int fd);
int croost_set_nonblocking(int fd);
/* Opens /dev/null: a descriptor to keep in reserve. */
int croost_spare_descriptor(void);

/* ---- net.c: TCP, UDP ---- */

struct croost_address {
  uint8_t ip[16];
  uint32_t ip_length; /* 4 or 16 */
  uint16_t port;
  uint16_t unused;
};

int croost_tcp_socket(uint32_t ip_length);
/* 0: connected at once; -EINPROGRESS: under way. */
int croost_connect(int fd, const struct croost_address *address);
int croost_listen(const struct croost_address *address, int backlog);
/* A non-blocking socket and who is at its other end. */
int croost_accept(int fd, struct croost_address *remote);
int croost_local_address(int fd, struct croost_address *address);
/* A bound UDP socket that tells where a datagram was sent to. */
int croost_udp_bind(const struct croost_address *address);
/* A UDP socket that only hears `address`; the kernel chooses an unpredictable local port. */
int croost_udp_connect(const struct croost_address *address);
/* One datagram: its size (at most `count`), its sender, and the local address it was sent to. */
int64_t croost_udp_receive(
    int fd, void *bytes, size_t count, struct croost_address *remote, struct croost_address *local);
/* Sends from `local`, the address that the question was sent to (RFC 2181 4.1). */
int64_t croost_udp_send(
    int fd, const void *bytes, size_t count, const struct croost_address *remote,
    const struct croost_address *local);
int croost_set_no_delay(int fd);
/* Makes close() reset the connection instead of lingering. */
int croost_set_reset_on_close(int fd);
int croost_set_buffers(int fd, int receive_bytes, int send_bytes);
/* The pending error of a socket as a negative errno, 0 for none. */
int croost_socket_error(int fd);
int croost_shutdown_write(int fd);
/* send with MSG_NOSIGNAL, recv; both restarted after a signal. */
int64_t croost_send(int fd, const void *bytes, size_t count);
/* Two pieces in one go. */
int64_t croost_send_two(
    int fd, const void *first, size_t first_count, const void *second, size_t second_count);
int64_t croost_receive(int fd, void *bytes, size_t count);
/* getaddrinfo; blocks. Returns how many addresses were filled in, or a getaddrinfo code, which is
 * negative (croost_resolve_text explains it). */
int croost_resolve(const char *host, struct croost_address *addresses, int count);
const char *croost_resolve_text(int code);
/* 1 when `text` is an address of that length. */
int croost_parse_ip(const char *text, struct croost_address *address);
/* `text` has at least 46 bytes. */
void croost_format_ip(const struct croost_address *address, char *text);

/* ---- process.c: processes, signals, threads ---- */

#define CROOST_SPAWN_NEW_SESSION 1u    /* setsid: a group of its own, no terminal */
#define CROOST_SPAWN_DIE_WITH_PARENT 2u /* SIGKILL when the starting thread ends */
#define CROOST_SPAWN_NEW_GROUP 4u      /* setpgid(0, 0) */

/* Starts `path` with descriptors 0, 1, 2 as given (-1: /dev/null), all signals unblocked and at
 * their defaults. `directory` may be NULL. Returns the pid, or a negative errno also when exec
 * failed. Does not copy the address space. */
int croost_spawn(
    const char *path, char *const argv[], char *const envp[], const char *directory, int in,
    int out, int err, unsigned flags);

struct croost_exit {
  int pid;    /* 0: nothing has ended */
  int code;   /* exit status, or -1 */
  int signal; /* signal that ended it, or 0 */
};
/* waitpid, decoded. `pid` -1: any child. Does not wait unless `blocking`. */
int croost_wait(int pid, int blocking, struct croost_exit *result);
int croost_kill(int pid, int signal);
int croost_kill_group(int group, int signal);

/* Blocks the signals for this thread and those it starts later. */
int croost_block_signals(const int *signals, int count);
int croost_unblock_all_signals(void);
/* Non-blocking descriptor that the (blocked) signals arrive on. */
int croost_signalfd(const int *signals, int count);
/* The next signal and its sender, 0 when there is none. */
int croost_signalfd_take(int fd, int *sender);
void croost_ignore_sigpipe(void);
int croost_die_with_parent(void);
void croost_set_thread_name(const char *name);
/* The calling thread runs when the other threads of the process leave time, or nearly so. */
void croost_give_way(void);

/* ---- heap.c: pages of 2 MB for a heap that has grown ---- */

/* Before anything else: the heap is to grow in large steps. Its next `kept` bytes stay as they are. */
void croost_heap_prepare(size_t kept);
/* Whether there is work for the other: cheap, from the thread that called `prepare`, now and then. */
bool croost_heap_has_filled(void);
/* Puts what has filled into pages of 2 MB; from one other thread. */
void croost_heap_collapse(void);

/* ---- system.c: clocks, memory, disk, text ---- */

uint64_t croost_monotonic(void);  /* nanoseconds, CLOCK_MONOTONIC */
uint64_t croost_wall_clock(void); /* nanoseconds since 1970 */

struct croost_usage {
  uint64_t user_nanoseconds;
  uint64_t system_nanoseconds;
  uint64_t resident_bytes;
  uint64_t peak_resident_bytes;
};
/* Of this process. */
int croost_usage(struct croost_usage *usage);
/* Has the device write a part of a file, and waits for it. Makes nothing durable. */
int croost_write_out(int descriptor, int64_t offset, int64_t count);
/* Bytes on the file system of `path` that an unprivileged process may still take. */
int croost_free_space(const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
/* Raises the limit of open descriptors to the hard limit; returns the new limit. */
int64_t croost_raise_descriptor_limit(void);
/* Lowers or sets the soft limit; for tests. */
int croost_set_descriptor_limit(uint64_t limit);
/* Processors that this process may run on. */
int croost_processor_count(void);
/* Unpredictable bytes. */
int croost_random(void *bytes, size_t count);
/* Columns of the terminal behind `fd`, 0 when it is none. */
int croost_terminal_width(int fd);
/* Offset of the first `byte` in `bytes`, or -1. */
int64_t croost_find_byte(const void *bytes, size_t count, uint8_t byte);
/* Offset of the first CR LF, or -1. */
int64_t croost_find_crlf(const void *bytes, size_t count);
/* As memcmp: both have `count` bytes. */
static inline int croost_compare(const void *a, const void *b, size_t count) {
  return __builtin_memcmp(a, b, count);
}
/* strerror_r: always terminated. */
void croost_error_text(int code, char *text, size_t count);

#endif
