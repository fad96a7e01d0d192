#define _GNU_SOURCE
#include "CApusProcess.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int apus_pipe(int *ends) {
    return pipe2(ends, O_CLOEXEC) == 0 ? 0 : -errno;
}

static atomic_int signal_pipe = -1;
// Whether the byte of a signal is in the pipe: it never holds more than one of each, and so is never full.
static atomic_bool signal_waits[NSIG];

// An atomic and write(2), which are safe in a handler; errno is whoever's was interrupted.
static void write_signal(int signal) {
    int code = errno;
    int pipe = atomic_load(&signal_pipe);
    if (pipe >= 0 && !atomic_exchange(&signal_waits[signal], true)) {
        unsigned char byte = (unsigned char)signal;
        if (write(pipe, &byte, 1) != 1) {
            atomic_store(&signal_waits[signal], false);
        }
    }
    errno = code;
}

int apus_signals_install(const int *signals, size_t count, int pipe) {
    int other = -1;
    // The same one where it was taken over from the image before.
    if (!atomic_compare_exchange_strong(&signal_pipe, &other, pipe) && other != pipe) {
        return -EBUSY;
    }
    for (size_t index = 0; index < count; index++) {
        if (signals[index] <= 0 || signals[index] >= NSIG) {
            apus_signals_restore(signals, index);
            return -EINVAL;
        }
        atomic_store(&signal_waits[signals[index]], false);
        struct sigaction action = {.sa_handler = write_signal, .sa_flags = SA_RESTART | SA_NOCLDSTOP};
        sigemptyset(&action.sa_mask);
        if (sigaction(signals[index], &action, NULL) != 0) {
            int code = errno;
            apus_signals_restore(signals, index);
            return -code;
        }
    }
    return 0;
}

// Before the runtime starts: it lets the main thread take every signal (sigsuspend), and what has been pending since the
// image before was replaced would have its default effect, which is the end of the process.
__attribute__((constructor)) static void take_over_signals(void) {
    const char *rest = getenv(APUS_SIGNALS_VARIABLE);
    if (rest == NULL) {
        return;
    }
    int numbers[2 + NSIG];
    size_t count = 0;
    for (char *end; count < sizeof numbers / sizeof *numbers; rest = end) {
        long number = strtol(rest, &end, 10);
        if (end == rest || number < 0 || number > INT_MAX) {
            break;
        }
        numbers[count++] = (int)number;
    }
    struct stat status;
    // Another process's, where this one has only inherited the variable.
    if (count > 2 && numbers[0] == getpid() && fstat(numbers[1], &status) == 0 && S_ISFIFO(status.st_mode)) {
        apus_signals_install(numbers + 2, count - 2, numbers[1]);
    }
    unsetenv(APUS_SIGNALS_VARIABLE);
}

void apus_signal_taken(int signal) {
    if (signal > 0 && signal < NSIG) {
        atomic_store(&signal_waits[signal], false);
    }
}

void apus_signals_restore(const int *signals, size_t count) {
    for (size_t index = 0; index < count; index++) {
        signal(signals[index], SIG_DFL);
    }
    atomic_store(&signal_pipe, -1);
}

static void *wait_for_signals(void *nothing) {
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    while (1) {
        pause();
    }
    return nothing;
}

int apus_signals_unblock(void) {
    static atomic_bool is_started = false;
    if (atomic_exchange(&is_started, true)) {
        return 0;
    }
    pthread_t thread;
    int code = pthread_create(&thread, NULL, wait_for_signals, NULL);
    if (code != 0) {
        atomic_store(&is_started, false);
        return -code;
    }
    pthread_detach(thread);
    return 0;
}
