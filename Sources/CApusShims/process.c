#define _GNU_SOURCE
#include "CApusProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

// The faults that the runtime reports on: blocked, they would kill without a word.
static void block_all_but_faults(sigset_t *previous) {
    sigset_t set;
    sigfillset(&set);
    int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
    for (size_t index = 0; index < sizeof faults / sizeof *faults; index++) {
        sigdelset(&set, faults[index]);
    }
    pthread_sigmask(SIG_SETMASK, &set, previous);
}

// Starting

static int add_descriptors(posix_spawn_file_actions_t *actions, int third, int standard_error) {
    int code = 0;
    if (standard_error >= 0) {
        code = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        if (code == 0) {
            code = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        }
        if (code == 0) {
            code = posix_spawn_file_actions_adddup2(actions, standard_error, STDERR_FILENO);
        }
    }
    // Of a descriptor onto itself, too: that takes its FD_CLOEXEC away here (posix_spawn_file_actions_adddup2(3)).
    if (code == 0 && third >= 0) {
        code = posix_spawn_file_actions_adddup2(actions, third, 3);
    }
    return code;
}

static int set_attributes(posix_spawnattr_t *attributes, int own_group) {
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (own_group) {
        flags |= POSIX_SPAWN_SETPGROUP;
    }
    int code = posix_spawnattr_setsigdefault(attributes, &all);
    if (code == 0) {
        code = posix_spawnattr_setsigmask(attributes, &none);
    }
    if (code == 0) {
        code = posix_spawnattr_setpgroup(attributes, 0);
    }
    return code == 0 ? posix_spawnattr_setflags(attributes, flags) : code;
}

static pid_t spawn(
    const char *path, char *const *arguments, char *const *environment, int third, int standard_error, int own_group) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) {
        return -code;
    }
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return -code;
    }
    pid_t process = 0;
    code = add_descriptors(&actions, third, standard_error);
    if (code == 0) {
        code = set_attributes(&attributes, own_group);
    }
    if (code == 0) {
        code = posix_spawn(&process, path, &actions, &attributes, arguments, environment);
    }
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code == 0 ? process : -code;
}

pid_t apus_spawn(
    int executable, const char *path, char *const *arguments, char *const *environment, int third, int standard_error,
    int own_group) {
    if (executable < 0) {
        return spawn(path, arguments, environment, third, standard_error, own_group);
    }
    // The path is looked up in the child, where 3 is something else by then.
    int copy = executable <= 3 ? fcntl(executable, F_DUPFD_CLOEXEC, 4) : executable;
    if (copy < 0) {
        return -errno;
    }
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", copy);
    pid_t result = spawn(link, arguments, environment, third, standard_error, own_group);
    if (copy != executable) {
        close(copy);
    }
    return result;
}

int apus_reap(pid_t process, int *status) {
    while (1) {
        pid_t result = waitpid(process, status, WNOHANG);
        if (result >= 0) {
            return result > 0;
        }
        if (errno != EINTR) {
            return -errno;
        }
    }
}

pid_t apus_next_ended(void) {
    siginfo_t info = {0};
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ? info.si_pid : -errno;
}

// Only what is ignored: handlers go with the image, and until then somebody may still need them. The ones that were
// reset are noted in `changed`.
static void unignore_all(sigset_t *changed) {
    sigemptyset(changed);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action;
        if (sigaction(signal, NULL, &action) == 0 && !(action.sa_flags & SA_SIGINFO) && action.sa_handler == SIG_IGN) {
            action.sa_handler = SIG_DFL;
            if (sigaction(signal, &action, NULL) == 0) {
                sigaddset(changed, signal);
            }
        }
    }
}

static void ignore_again(const sigset_t *changed) {
    for (int signal = 1; signal < NSIG; signal++) {
        if (sigismember(changed, signal) == 1) {
            struct sigaction action = {.sa_handler = SIG_IGN};
            sigaction(signal, &action, NULL);
        }
    }
}

// A loop's thread has SIGPIPE blocked, and so one is pending there after a line of the log that nobody could read; it
// would become the new image's.
static void forget_broken_pipes(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    struct timespec none = {0};
    while (sigtimedwait(&set, NULL, &none) > 0) {
    }
}

int apus_replace_image(const char *path, char *const *arguments, char *const *environment) {
    sigset_t previous, changed;
    block_all_but_faults(&previous);
    unignore_all(&changed);
    forget_broken_pipes();
    execve(path, arguments, environment);
    int code = errno;
    ignore_again(&changed);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    return -code;
}

// Threads

struct thread_start {
    void (*body)(void *);
    void *context;
};

static void *run_thread(void *argument) {
    struct thread_start start = *(struct thread_start *)argument;
    free(argument);
    start.body(start.context);
    return NULL;
}

int apus_start_thread(void (*body)(void *), void *context) {
    struct thread_start *start = malloc(sizeof *start);
    if (start == NULL) {
        return -ENOMEM;
    }
    start->body = body;
    start->context = context;
    // A thread inherits the mask: blocked before it exists, no signal can fall between.
    sigset_t previous;
    block_all_but_faults(&previous);
    pthread_t thread;
    int code = pthread_create(&thread, NULL, run_thread, start);
    pthread_sigmask(SIG_SETMASK, &previous, NULL);
    if (code != 0) {
        free(start);
        return -code;
    }
    pthread_detach(thread);
    return 0;
}

// Memory

enum { ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

int apus_memory_file(const char *name) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd >= 0 ? fd : -errno;
}

int apus_memory_seal(int fd) {
    return fcntl(fd, F_ADD_SEALS, ALL_SEALS) == 0 ? 0 : -errno;
}

int apus_memory_is_sealed(int fd) {
    int seals = fcntl(fd, F_GET_SEALS);
    return seals >= 0 && (seals & ALL_SEALS) == ALL_SEALS;
}

// The log

ssize_t apus_write_now(int fd, const void *bytes, size_t count) {
    // Whether nobody has to read what is written there: a file, a device, a terminal.
    static atomic_bool needs_no_reader = false;
    if (atomic_load_explicit(&needs_no_reader, memory_order_relaxed)) {
        ssize_t written = write(fd, bytes, count);
        return written >= 0 ? written : -errno;
    }
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = count};
    ssize_t written = pwritev2(fd, &vector, 1, -1, RWF_NOWAIT);
    if (written >= 0) {
        return written;
    }
    int code = errno;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return -errno;
    }
    if (!S_ISFIFO(status.st_mode) && !S_ISSOCK(status.st_mode)) {
        atomic_store_explicit(&needs_no_reader, true, memory_order_relaxed);
        return apus_write_now(fd, bytes, count);
    }
    if (code != EOPNOTSUPP && code != ENOSYS) {
        return -code;
    }
    // An older system: what poll finds room for goes at once, unless another process is faster.
    struct pollfd entry = {.fd = fd, .events = POLLOUT};
    if (poll(&entry, 1, 0) <= 0) {
        return -EAGAIN;
    }
    written = write(fd, bytes, count < PIPE_BUF ? count : PIPE_BUF);
    return written >= 0 ? written : -errno;
}

// The executable

int apus_open_own_executable(void) {
    int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

const char *apus_started_path(void) {
    return (const char *)getauxval(AT_EXECFN);
}

// Cores

int apus_core_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : -errno;
}

int apus_pin(pid_t const *threads, size_t count, unsigned index) {
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) {
        return -errno;
    }
    int wanted = (int)(index % (unsigned)CPU_COUNT(&allowed));
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (CPU_ISSET(core, &allowed) && wanted-- == 0) {
            CPU_SET(core, &one);
            break;
        }
    }
    for (size_t position = 0; position < count; position++) {
        // One that has ended meanwhile needs no core.
        if (sched_setaffinity(threads[position], sizeof one, &one) != 0 && errno != ESRCH) {
            return -errno;
        }
    }
    return 0;
}
