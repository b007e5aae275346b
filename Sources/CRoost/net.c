/* TCP and UDP sockets, addresses. */
#include "croost.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int result(int value) { return value < 0 ? -errno : value; }

static socklen_t to_system(const struct croost_address *address, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (address->ip_length == 4) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address->port);
    memcpy(&v4->sin_addr, address->ip, 4);
    return sizeof *v4;
  }
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(address->port);
  memcpy(&v6->sin6_addr, address->ip, 16);
  return sizeof *v6;
}

static void from_system(const struct sockaddr_storage *in, struct croost_address *address) {
  memset(address, 0, sizeof *address);
  address->ip_length = 4;
  if (in->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;
    memcpy(address->ip, &v4->sin_addr, 4);
    address->port = ntohs(v4->sin_port);
  } else if (in->ss_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
    address->ip_length = 16;
    memcpy(address->ip, &v6->sin6_addr, 16);
    address->port = ntohs(v6->sin6_port);
  }
}

int croost_tcp_socket(uint32_t ip_length) {
  int family = ip_length == 4 ? AF_INET : AF_INET6;
  return result(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int croost_connect(int fd, const struct croost_address *address) {
  struct sockaddr_storage system;
  socklen_t length = to_system(address, &system);
  int connected = connect(fd, (struct sockaddr *)&system, length);
  /* An interrupted connect goes on by itself (POSIX), like one in progress. */
  if (connected < 0) return errno == EINTR ? -EINPROGRESS : -errno;
  return 0;
}

int croost_listen(const struct croost_address *address, int backlog) {
  int fd = croost_tcp_socket(address->ip_length);
  if (fd < 0) return fd;
  int one = 1;
  struct sockaddr_storage system;
  socklen_t length = to_system(address, &system);
  int failed = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0;
  if (!failed && address->ip_length == 16)
    failed = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0;
  if (!failed) failed = bind(fd, (struct sockaddr *)&system, length) < 0;
  if (!failed) failed = listen(fd, backlog) < 0;
  if (!failed) return fd;
  int code = errno;
  close(fd);
  return -code;
}

int croost_accept(int fd, struct croost_address *remote) {
  struct sockaddr_storage system;
  socklen_t length = sizeof system;
  memset(&system, 0, sizeof system);
  int accepted = accept4(fd, (struct sockaddr *)&system, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted < 0) return -errno;
  from_system(&system, remote);
  return accepted;
}

int croost_local_address(int fd, struct croost_address *address) {
  struct sockaddr_storage system;
  socklen_t length = sizeof system;
  memset(&system, 0, sizeof system);
  if (getsockname(fd, (struct sockaddr *)&system, &length) < 0) return -errno;
  from_system(&system, address);
  return 0;
}

int croost_set_no_delay(int fd) {
  int one = 1;
  return result(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
}

int croost_set_reset_on_close(int fd) {
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  return result(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

int croost_set_buffers(int fd, int receive_bytes, int send_bytes) {
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) < 0) return -errno;
  return result(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes));
}

int croost_socket_error(int fd) {
  int code = 0;
  socklen_t length = sizeof code;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0) return -errno;
  return -code;
}

int croost_shutdown_write(int fd) { return result(shutdown(fd, SHUT_WR)); }

int64_t croost_send(int fd, const void *bytes, size_t count) {
  ssize_t sent;
  do sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT); while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int64_t croost_send_two(
    int fd, const void *first, size_t first_count, const void *second, size_t second_count) {
  struct iovec pieces[2] = {
      {.iov_base = (void *)first, .iov_len = first_count},
      {.iov_base = (void *)second, .iov_len = second_count}};
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = 2};
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT); while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int64_t croost_receive(int fd, void *bytes, size_t count) {
  ssize_t received;
  do received = recv(fd, bytes, count, MSG_DONTWAIT); while (received < 0 && errno == EINTR);
  return received < 0 ? -errno : received;
}

static int udp_socket(uint32_t ip_length) {
  int family = ip_length == 4 ? AF_INET : AF_INET6;
  return result(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int croost_udp_bind(const struct croost_address *address) {
  int fd = udp_socket(address->ip_length);
  if (fd < 0) return fd;
  int one = 1, failed;
  if (address->ip_length == 4) {
    failed = setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) < 0;
  } else {
    failed = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one) < 0;
    if (!failed) failed = setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof one) < 0;
  }
  struct sockaddr_storage system;
  socklen_t length = to_system(address, &system);
  if (!failed) failed = bind(fd, (struct sockaddr *)&system, length) < 0;
  if (!failed) return fd;
  int code = errno;
  close(fd);
  return -code;
}

int croost_udp_connect(const struct croost_address *address) {
  int fd = udp_socket(address->ip_length);
  if (fd < 0) return fd;
  int code = croost_connect(fd, address);
  if (code == 0) return fd;
  close(fd);
  return code;
}

int64_t croost_udp_receive(
    int fd, void *bytes, size_t count, struct croost_address *remote, struct croost_address *local) {
  struct sockaddr_storage system;
  memset(&system, 0, sizeof system);
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
  } control;
  struct iovec piece = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {
      .msg_name = &system, .msg_namelen = sizeof system, .msg_iov = &piece, .msg_iovlen = 1,
      .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t received;
  do received = recvmsg(fd, &message, MSG_DONTWAIT); while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  from_system(&system, remote);
  memset(local, 0, sizeof *local);
  for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level == IPPROTO_IP && one->cmsg_type == IP_PKTINFO) {
      struct in_pktinfo information;
      memcpy(&information, CMSG_DATA(one), sizeof information);
      local->ip_length = 4;
      memcpy(local->ip, &information.ipi_spec_dst, 4);
    } else if (one->cmsg_level == IPPROTO_IPV6 && one->cmsg_type == IPV6_PKTINFO) {
      struct in6_pktinfo information;
      memcpy(&information, CMSG_DATA(one), sizeof information);
      local->ip_length = 16;
      memcpy(local->ip, &information.ipi6_addr, 16);
    }
  }
  return received;
}

int64_t croost_udp_send(
    int fd, const void *bytes, size_t count, const struct croost_address *remote,
    const struct croost_address *local) {
  struct sockaddr_storage system;
  socklen_t length = to_system(remote, &system);
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct in6_pktinfo))];
  } control;
  memset(&control, 0, sizeof control);
  struct iovec piece = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {
      .msg_name = &system, .msg_namelen = length, .msg_iov = &piece, .msg_iovlen = 1,
      .msg_control = &control};
  struct cmsghdr *header = &control.header;
  if (local->ip_length == 4 && remote->ip_length == 4) {
    struct in_pktinfo information = {0};
    memcpy(&information.ipi_spec_dst, local->ip, 4);
    message.msg_controllen = CMSG_SPACE(sizeof information);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof information);
    memcpy(CMSG_DATA(header), &information, sizeof information);
  } else if (local->ip_length == 16 && remote->ip_length == 16) {
    struct in6_pktinfo information = {0};
    memcpy(&information.ipi6_addr, local->ip, 16);
    message.msg_controllen = CMSG_SPACE(sizeof information);
    header->cmsg_level = IPPROTO_IPV6;
    header->cmsg_type = IPV6_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof information);
    memcpy(CMSG_DATA(header), &information, sizeof information);
  } else {
    message.msg_control = NULL;
  }
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT); while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int croost_resolve(const char *host, struct croost_address *addresses, int count) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  struct addrinfo *list = NULL;
  int code = getaddrinfo(host, NULL, &hints, &list);
  if (code != 0) return code < 0 ? code : -code;
  int filled = 0;
  for (struct addrinfo *one = list; one && filled < count; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    struct sockaddr_storage system;
    memset(&system, 0, sizeof system);
    if (one->ai_addrlen > sizeof system) continue;
    memcpy(&system, one->ai_addr, one->ai_addrlen);
    from_system(&system, &addresses[filled++]);
  }
  freeaddrinfo(list);
  return filled > 0 ? filled : EAI_NONAME;
}

const char *croost_resolve_text(int code) { return gai_strerror(code); }

int croost_parse_ip(const char *text, struct croost_address *address) {
  memset(address, 0, sizeof *address);
  address->ip_length = 4;
  if (inet_pton(AF_INET, text, address->ip) == 1) return 1;
  address->ip_length = 16;
  return inet_pton(AF_INET6, text, address->ip) == 1;
}

void croost_format_ip(const struct croost_address *address, char *text) {
  int family = address->ip_length == 4 ? AF_INET : AF_INET6;
  if (!inet_ntop(family, address->ip, text, INET6_ADDRSTRLEN)) text[0] = 0;
}
