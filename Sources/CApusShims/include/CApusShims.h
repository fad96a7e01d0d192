#ifndef CAPUS_SHIMS_H
#define CAPUS_SHIMS_H

// What Swift cannot say itself: control messages (the CMSG_ macros), recvmmsg, and calls and types
// that are hidden behind _GNU_SOURCE. Every function returns a count, or the errno value negated, so
// that nothing can overwrite errno between the call and its reading.

#include "CApusProcess.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/// Waits for events; a negative timeout waits for ever. An interruption counts as no event.
int apus_epoll_wait(int epoll, struct epoll_event *events, int capacity, int64_t timeout_nanoseconds);

/// recv and send (without SIGPIPE) as bare system calls: the library's wrappers are cancellation points, which in a
/// process of several threads costs two atomic operations a call. The number of bytes, or -errno.
ssize_t apus_receive(int fd, void *bytes, size_t count);
ssize_t apus_send(int fd, const void *bytes, size_t count);

/// Bytes that were written and that the peer's kernel has not acknowledged; -errno where that cannot be told.
int apus_unacknowledged(int fd);

/// accept4 with SOCK_NONBLOCK and SOCK_CLOEXEC.
int apus_accept(int listener, struct sockaddr *peer, socklen_t *length);

/// Names the calling thread; the kernel keeps 15 bytes.
void apus_set_thread_name(const char *name);

/// Makes a UDP socket for `family` with all that QUIC wants, bound to `address`; -errno where it fails.
int apus_udp_open(const struct sockaddr *address, socklen_t length, int reuse_port, int buffer_bytes);

/// Gives a bound socket of `family` the same options; 0 or -errno.
int apus_udp_configure(int fd, int family, int buffer_bytes);

/// One message as the kernel delivered it: one datagram, or (GRO) several of `segment_size`, the last
/// perhaps shorter.
struct apus_datagrams {
    void *bytes;
    size_t length;
    size_t segment_size;
    struct sockaddr_in6 remote; // or a sockaddr_in: the family tells
    struct sockaddr_in6 local;  // the address the peer sent to, with port 0; family 0 where unknown
    uint8_t ecn;
};

/// Buffers for one recvmmsg call, allocated once.
struct apus_receiver;

struct apus_receiver *apus_receiver_new(unsigned messages, size_t bytes_each);
void apus_receiver_free(struct apus_receiver *receiver);

/// Receives what waits, up to the receiver's number of messages; their count or -errno.
int apus_receiver_fill(struct apus_receiver *receiver, int fd);

/// The message at `index`, valid until the next fill.
const struct apus_datagrams *apus_receiver_at(const struct apus_receiver *receiver, unsigned index);

/// Sends one message; `segment_size` 0 means one datagram, else the kernel cuts it (GSO). `from` may be
/// null. The number of bytes sent, or -errno.
ssize_t apus_udp_send(
    int fd, const void *bytes, size_t length, uint16_t segment_size, const struct sockaddr *to, socklen_t to_length,
    const struct sockaddr *from, uint8_t ecn);

/// Makes a classic BPF program choose among the sockets of the group (SO_REUSEPORT) of `fd`, at once; 0 or -errno.
int apus_attach_steering(int fd, const struct sock_filter *instructions, unsigned short count);

/// Descriptors in one message, at most: an even number, so that the control buffer has no room for one more.
#define APUS_MAX_DESCRIPTORS 128

/// Sends one message with descriptors; the number of bytes sent, or -errno.
ssize_t apus_control_send(int fd, const void *bytes, size_t length, const int *descriptors, unsigned count);

/// Receives one message with its descriptors (close-on-exec), of which there is room for APUS_MAX_DESCRIPTORS. The
/// number of bytes, 0 at the end, or -errno; -EMSGSIZE for a message that does not fit: then its descriptors are closed.
ssize_t apus_control_receive(int fd, void *bytes, size_t room, int *descriptors, unsigned *count);

/// The process that made the other end of a unix socket; -errno where that cannot be told.
pid_t apus_peer_process(int fd);

/// Sends one datagram made of two pieces to the connected peer; the number of bytes, or -errno.
ssize_t apus_send_pair(int fd, const void *first, size_t first_length, const void *second, size_t second_length);

/// Receives one datagram; the number of bytes (the datagram is consumed), or -errno; -EMSGSIZE for one that does not fit.
ssize_t apus_receive_whole(int fd, void *bytes, size_t room);

#endif
