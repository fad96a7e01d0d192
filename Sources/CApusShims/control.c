#define _GNU_SOURCE
#include "CApusShims.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

_Static_assert(
    CMSG_SPACE(sizeof(int) * APUS_MAX_DESCRIPTORS) == CMSG_LEN(sizeof(int) * APUS_MAX_DESCRIPTORS),
    "padding would be room for a descriptor past the limit");

union descriptors {
    char bytes[CMSG_SPACE(sizeof(int) * APUS_MAX_DESCRIPTORS)];
    struct cmsghdr alignment;
};

ssize_t apus_control_send(int fd, const void *bytes, size_t length, const int *descriptors, unsigned count) {
    union descriptors control;
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count > APUS_MAX_DESCRIPTORS) {
        return -EMSGSIZE;
    }
    if (count > 0) {
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(rights), descriptors, sizeof(int) * count);
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : -errno;
}

/// Copies the descriptors of one control message; their number.
static unsigned take_descriptors(const struct cmsghdr *control, int *descriptors) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) {
        return 0;
    }
    size_t bytes = control->cmsg_len - CMSG_LEN(0);
    memcpy(descriptors, CMSG_DATA(control), bytes);
    return bytes / sizeof(int);
}

ssize_t apus_control_receive(int fd, void *bytes, size_t room, int *descriptors, unsigned *count) {
    union descriptors control;
    struct iovec vector = {.iov_base = bytes, .iov_len = room};
    struct msghdr header = {
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    *count = 0;
    ssize_t received;
    do {
        received = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0) {
        return -errno;
    }
    // The kernel puts all descriptors of a message into one control message, no larger than the buffer.
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&header); item; item = CMSG_NXTHDR(&header, item)) {
        *count += take_descriptors(item, descriptors + *count);
    }
    if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0) {
        return received;
    }
    // Fewer than there is room for: what was lacking is room in this process.
    int is_short = (header.msg_flags & MSG_TRUNC) == 0 && *count < APUS_MAX_DESCRIPTORS;
    while (*count > 0) {
        close(descriptors[--*count]);
    }
    return is_short ? received : -EMSGSIZE;
}

pid_t apus_peer_process(int fd) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 ? peer.pid : -errno;
}

ssize_t apus_send_pair(int fd, const void *first, size_t first_length, const void *second, size_t second_length) {
    struct iovec vectors[2] = {
        {.iov_base = (void *)first, .iov_len = first_length},
        {.iov_base = (void *)second, .iov_len = second_length},
    };
    struct msghdr header = {.msg_iov = vectors, .msg_iovlen = 2};
    ssize_t sent;
    do {
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : -errno;
}

ssize_t apus_receive_whole(int fd, void *bytes, size_t room) {
    ssize_t received;
    do {
        // TRUNC: the datagram's own length, also where it does not fit.
        received = recv(fd, bytes, room, MSG_DONTWAIT | MSG_TRUNC);
    } while (received < 0 && errno == EINTR);
    if (received < 0) {
        return -errno;
    }
    return (size_t)received <= room ? received : -EMSGSIZE;
}
