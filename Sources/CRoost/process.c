/* Processes, signals, threads. */
#include "croost.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static int result(int value) { return value < 0 ? -errno : value; }

struct start {
  const char *path;
  char *const *argv;
  char *const *envp;
  const char *directory;
  int descriptors[3];
  unsigned flags;
};

/* Gives the child descriptor `target`. The three are first moved above 2, so that none is
 * overwritten before it was used. */
static int place_descriptors(const int descriptors[3]) {
  int moved[3];
  for (int i = 0; i < 3; i++) {
    int fd = descriptors[i];
    if (fd < 0) fd = open("/dev/null", i == 0 ? O_RDONLY : O_WRONLY);
    if (fd < 0) return -1;
    moved[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (moved[i] < 0) return -1;
  }
  for (int i = 0; i < 3; i++)
    if (dup2(moved[i], i) < 0) return -1;
  return 0;
}

/* Runs in the child, on the parent's memory (vfork): system calls only, no return but by error. */
static void become(const struct start *start) {
  if (start->flags & CROOST_SPAWN_DIE_WITH_PARENT && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) return;
  if (start->flags & CROOST_SPAWN_NEW_SESSION && setsid() < 0) return;
  if (start->flags & CROOST_SPAWN_NEW_GROUP && setpgid(0, 0) < 0) return;
  if (start->directory && chdir(start->directory) < 0) return;
  if (place_descriptors(start->descriptors) < 0) return;
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  execve(start->path, start->argv, start->envp);
}

int croost_spawn(
    const char *path, char *const argv[], char *const envp[], const char *directory, int in,
    int out, int err, unsigned flags) {
  struct start start = {path, argv, envp, directory, {in, out, err}, flags};
  sigset_t all, before;
  /* No handler may run in the child while it shares our memory. */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  volatile int failure = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    become(&start);
    failure = errno;
    _exit(127);
  }
  int code = pid < 0 ? errno : failure;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code == 0) return pid;
  if (pid > 0)
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
  return -code;
}

int croost_wait(int pid, int blocking, struct croost_exit *exit) {
  int status = 0;
  pid_t ended;
  *exit = (struct croost_exit){.pid = 0, .code = -1, .signal = 0};
  do ended = waitpid(pid, &status, blocking ? 0 : WNOHANG); while (ended < 0 && errno == EINTR);
  if (ended < 0) return -errno;
  exit->pid = ended;
  if (ended > 0 && WIFEXITED(status)) exit->code = WEXITSTATUS(status);
  if (ended > 0 && WIFSIGNALED(status)) exit->signal = WTERMSIG(status);
  return 0;
}

int croost_kill(int pid, int signal) {
  /* 0 and below would reach whole groups. */
  return pid <= 0 ? -EINVAL : result(kill(pid, signal));
}

int croost_kill_group(int group, int signal) {
  return group <= 1 ? -EINVAL : result(kill(-group, signal));
}

static void make_set(sigset_t *set, const int *signals, int count) {
  sigemptyset(set);
  for (int i = 0; i < count; i++) sigaddset(set, signals[i]);
}

int croost_block_signals(const int *signals, int count) {
  sigset_t set;
  make_set(&set, signals, count);
  return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int croost_unblock_all_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  return -pthread_sigmask(SIG_SETMASK, &none, NULL);
}

int croost_signalfd(const int *signals, int count) {
  sigset_t set;
  make_set(&set, signals, count);
  return result(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

int croost_signalfd_take(int fd, int *sender) {
  struct signalfd_siginfo info;
  ssize_t count;
  do count = read(fd, &info, sizeof info); while (count < 0 && errno == EINTR);
  if (count < 0) return errno == EAGAIN ? 0 : -errno;
  if (count != sizeof info) return 0;
  *sender = (int)info.ssi_pid;
  return (int)info.ssi_signo;
}

void croost_ignore_sigpipe(void) { signal(SIGPIPE, SIG_IGN); }

int croost_die_with_parent(void) { return result(prctl(PR_SET_PDEATHSIG, SIGKILL)); }

void croost_give_way(void) {
  /* On Linux a priority belongs to a thread, and 0 means the calling one. A tenth of the weight of
     the others: they run at once when they wake, and on a busy machine this one still gets on. */
  setpriority(PRIO_PROCESS, 0, 10);
}

void croost_set_thread_name(const char *name) {
  /* The kernel takes 15 characters and refuses more. */
  char text[16] = {0};
  for (int i = 0; i < 15 && name[i]; i++) text[i] = name[i];
  pthread_setname_np(pthread_self(), text);
}
