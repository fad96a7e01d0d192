#define _GNU_SOURCE
#include "CApusShims.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Older headers lack these; the values are the kernel's interface.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static int set_int(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value);
}

/// The options of IPv4 that the packet code below relies on; -1 where the kernel refuses one of them.
static int set_ipv4_options(int fd) {
    // PROBE: never fragment, and do not believe a path MTU that a forged ICMP message may have set.
    return set_int(fd, IPPROTO_IP, IP_RECVTOS, 1) | set_int(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

static int set_ipv6_options(int fd) {
    return set_int(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) | set_int(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
        | set_int(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
        | set_int(fd, IPPROTO_IPV6, IPV6_DONTFRAG, 1);
}

static int set_family_options(int fd, int family) {
    if (family == AF_INET) {
        return set_int(fd, IPPROTO_IP, IP_PKTINFO, 1) | set_ipv4_options(fd);
    }
    int only = 1;
    socklen_t length = sizeof only;
    if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length) != 0) {
        return -1;
    }
    // A socket of both families (somebody else's: ours take one) tells the address in the form of IPv6, but the
    // ECN bits of an IPv4 packet in that of IPv4.
    return set_ipv6_options(fd) | (only ? 0 : set_ipv4_options(fd));
}

int apus_udp_configure(int fd, int family, int buffer_bytes) {
    if (set_family_options(fd, family) != 0) {
        return -errno;
    }
    // Best effort: without GRO each datagram comes alone; buffers are cut to the system's maximum.
    set_int(fd, SOL_UDP, UDP_GRO, 1);
    set_int(fd, SOL_SOCKET, SO_RCVBUF, buffer_bytes);
    set_int(fd, SOL_SOCKET, SO_SNDBUF, buffer_bytes);
    return 0;
}

int apus_udp_open(const struct sockaddr *address, socklen_t length, int reuse_port, int buffer_bytes) {
    int family = address->sa_family;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    // One family a socket; all options before bind(), so that no packet comes without what they ask for.
    if ((family == AF_INET6 && set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) != 0)
        || (reuse_port && set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) != 0)) {
        int error = errno;
        close(fd);
        return -error;
    }
    int result = apus_udp_configure(fd, family, buffer_bytes);
    if (result == 0 && bind(fd, address, length) != 0) {
        result = -errno;
    }
    if (result != 0) {
        close(fd);
        return result;
    }
    return fd;
}

// Room for packet info (the IPv6 one is larger), ECN and the segment size.
#define CONTROL_BYTES                                                                                                  \
    (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int)))

union control {
    char bytes[CONTROL_BYTES];
    struct cmsghdr alignment;
};

struct apus_receiver {
    unsigned messages;
    unsigned used; // messages that the last call may have written to
    size_t bytes_each;
    char *buffer;
    struct mmsghdr *headers;
    struct iovec *vectors;
    union control *controls;
    struct apus_datagrams *datagrams;
};

struct apus_receiver *apus_receiver_new(unsigned messages, size_t bytes_each) {
    struct apus_receiver *receiver = calloc(1, sizeof *receiver);
    if (receiver == NULL) {
        return NULL;
    }
    receiver->messages = messages;
    receiver->used = messages;
    receiver->bytes_each = bytes_each;
    receiver->buffer = malloc(messages * bytes_each);
    receiver->headers = calloc(messages, sizeof *receiver->headers);
    receiver->vectors = calloc(messages, sizeof *receiver->vectors);
    receiver->controls = calloc(messages, sizeof *receiver->controls);
    receiver->datagrams = calloc(messages, sizeof *receiver->datagrams);
    if (!receiver->buffer || !receiver->headers || !receiver->vectors || !receiver->controls || !receiver->datagrams) {
        apus_receiver_free(receiver);
        return NULL;
    }
    return receiver;
}

void apus_receiver_free(struct apus_receiver *receiver) {
    free(receiver->buffer);
    free(receiver->headers);
    free(receiver->vectors);
    free(receiver->controls);
    free(receiver->datagrams);
    free(receiver);
}

/// Sets up message `index`: the kernel writes lengths back, so this is done before each use.
static void prepare(struct apus_receiver *receiver, unsigned index) {
    struct apus_datagrams *datagrams = &receiver->datagrams[index];
    datagrams->bytes = receiver->buffer + index * receiver->bytes_each;
    receiver->vectors[index] = (struct iovec){.iov_base = datagrams->bytes, .iov_len = receiver->bytes_each};
    receiver->headers[index].msg_hdr = (struct msghdr){
        .msg_name = &datagrams->remote,
        .msg_namelen = sizeof datagrams->remote,
        .msg_iov = &receiver->vectors[index],
        .msg_iovlen = 1,
        .msg_control = receiver->controls[index].bytes,
        .msg_controllen = sizeof receiver->controls[index].bytes,
    };
}

static void read_control(struct apus_datagrams *datagrams, const struct cmsghdr *control) {
    const void *data = CMSG_DATA(control);
    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo info;
        memcpy(&info, data, sizeof info);
        struct sockaddr_in *local = (struct sockaddr_in *)&datagrams->local;
        local->sin_family = AF_INET;
        local->sin_addr = info.ipi_addr;
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        memcpy(&info, data, sizeof info);
        datagrams->local.sin6_family = AF_INET6;
        datagrams->local.sin6_addr = info.ipi6_addr;
        // A link-local address means nothing without its interface.
        datagrams->local.sin6_scope_id = IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0;
    } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
        datagrams->ecn = *(const uint8_t *)data & 3; // one byte, unlike the IPv6 one
    } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
        int traffic_class;
        memcpy(&traffic_class, data, sizeof traffic_class);
        datagrams->ecn = traffic_class & 3;
    } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
        int size;
        memcpy(&size, data, sizeof size);
        if (size > 0) {
            datagrams->segment_size = size;
        }
    }
}

int apus_receiver_fill(struct apus_receiver *receiver, int fd) {
    for (unsigned index = 0; index < receiver->used; index++) {
        prepare(receiver, index);
    }
    int count = recvmmsg(fd, receiver->headers, receiver->messages, MSG_DONTWAIT, NULL);
    int error = errno;
    // One more than it delivered: the call may have failed in the middle of a message.
    receiver->used = count < 0 ? 1 : (unsigned)count < receiver->messages ? (unsigned)count + 1 : receiver->messages;
    if (count < 0) {
        return -error;
    }
    for (int index = 0; index < count; index++) {
        struct msghdr *header = &receiver->headers[index].msg_hdr;
        struct apus_datagrams *datagrams = &receiver->datagrams[index];
        datagrams->length = receiver->headers[index].msg_len;
        datagrams->segment_size = datagrams->length;
        datagrams->ecn = 0;
        memset(&datagrams->local, 0, sizeof datagrams->local);
        for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
            read_control(datagrams, control);
        }
    }
    return count;
}

const struct apus_datagrams *apus_receiver_at(const struct apus_receiver *receiver, unsigned index) {
    return &receiver->datagrams[index];
}

/// Appends one control message; the buffer has room for each kind once.
static void append(struct msghdr *header, int level, int type, const void *data, size_t length) {
    struct cmsghdr *control = (struct cmsghdr *)((char *)header->msg_control + header->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(length);
    memcpy(CMSG_DATA(control), data, length);
    header->msg_controllen += CMSG_SPACE(length);
}

/// Makes the datagram leave from `from`; the route chooses the interface, but for link-local addresses.
static void append_source(struct msghdr *header, const struct sockaddr *from) {
    if (from->sa_family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = ((const struct sockaddr_in *)from)->sin_addr};
        if (info.ipi_spec_dst.s_addr != INADDR_ANY) {
            append(header, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        }
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)from;
        struct in6_pktinfo info = {.ipi6_addr = six->sin6_addr, .ipi6_ifindex = six->sin6_scope_id};
        if (!IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr)) {
            append(header, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
        }
    }
}

/// Whether the packet will be one of IPv4: from a socket of both families the address says so within.
static int is_ipv4(const struct sockaddr *to) {
    return to->sa_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)to)->sin6_addr);
}

ssize_t apus_udp_send(
    int fd, const void *bytes, size_t length, uint16_t segment_size, const struct sockaddr *to, socklen_t to_length,
    const struct sockaddr *from, uint8_t ecn) {
    union control control;
    memset(&control, 0, sizeof control);
    struct iovec vector = {.iov_base = (void *)bytes, .iov_len = length};
    struct msghdr header = {
        .msg_name = (void *)to,
        .msg_namelen = to_length,
        .msg_iov = &vector,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
    };
    if (from != NULL) {
        append_source(&header, from);
    }
    if (ecn != 0) {
        int value = ecn;
        if (is_ipv4(to)) {
            append(&header, IPPROTO_IP, IP_TOS, &value, sizeof value);
        } else {
            append(&header, IPPROTO_IPV6, IPV6_TCLASS, &value, sizeof value);
        }
    }
    if (segment_size != 0) {
        append(&header, SOL_UDP, UDP_SEGMENT, &segment_size, sizeof segment_size);
    }
    if (header.msg_controllen == 0) {
        header.msg_control = NULL;
    }
    ssize_t sent;
    do {
        sent = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 ? sent : -errno;
}
