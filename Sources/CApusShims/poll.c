#define _GNU_SOURCE
#include "CApusShims.h"

#include <errno.h>
#include <pthread.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int apus_epoll_wait(int epoll, struct epoll_event *events, int capacity, int64_t timeout_nanoseconds) {
    struct timespec timeout = {
        .tv_sec = timeout_nanoseconds / 1000000000,
        .tv_nsec = timeout_nanoseconds % 1000000000,
    };
    int count = epoll_pwait2(epoll, events, capacity, timeout_nanoseconds < 0 ? NULL : &timeout, NULL);
    if (count >= 0) {
        return count;
    }
    return errno == EINTR ? 0 : -errno;
}

ssize_t apus_receive(int fd, void *bytes, size_t count) {
    ssize_t result = syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL);
    return result >= 0 ? result : -errno;
}

ssize_t apus_send(int fd, const void *bytes, size_t count) {
    ssize_t result = syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL, NULL, 0);
    return result >= 0 ? result : -errno;
}

int apus_unacknowledged(int fd) {
    int count = 0;
    return ioctl(fd, SIOCOUTQ, &count) == 0 ? count : -errno;
}

int apus_accept(int listener, struct sockaddr *peer, socklen_t *length) {
    int fd = accept4(listener, peer, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

void apus_set_thread_name(const char *name) {
    char short_name[16];
    strncpy(short_name, name, sizeof short_name - 1);
    short_name[sizeof short_name - 1] = 0;
    pthread_setname_np(pthread_self(), short_name);
}
