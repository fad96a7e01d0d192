import Glibc

extension TCPSocket {
    /// The user of the process that has connected a Unix socket; nil for any other socket.
    package var peerUser: uid_t? {
        // unix(7), SO_PEERCRED: process, user and group, of 32 bits each; no user is said as the greatest number.
        var credentials: [UInt32] = [0, .max, .max]
        var length = socklen_t(credentials.count * MemoryLayout<UInt32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0, credentials[1] != .max else {
            return nil
        }
        return credentials[1]
    }
}
