import CApusShims
import Glibc

/// The calls of the hot path: leaf functions over plain values, so that nothing (a release, a free) can
/// come between a call and the reading of errno. EINTR is retried; the result is a count or -errno.
enum SystemCall {
    @inline(never)
    static func receive(_ descriptor: Int32, _ base: UnsafeMutableRawPointer?, _ count: Int) -> Int {
        while true {
            let result = apus_receive(descriptor, base, count)
            if result != -Int(EINTR) { return result }
        }
    }

    /// Sends one piece, without SIGPIPE; a tenth of a microsecond less than the vectored call.
    @inline(never)
    static func send(_ descriptor: Int32, _ piece: UnsafeRawBufferPointer) -> Int {
        while true {
            let result = apus_send(descriptor, piece.baseAddress, piece.count)
            if result != -Int(EINTR) { return result }
        }
    }

    /// Sends several pieces, without SIGPIPE.
    @inline(never)
    static func send(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>) -> Int {
        var message = msghdr()
        message.msg_iov = UnsafeMutablePointer(mutating: vectors.baseAddress)
        message.msg_iovlen = vectors.count
        while true {
            let result = sendmsg(descriptor, &message, Int32(MSG_NOSIGNAL))
            if result >= 0 { return result }
            let code = errno
            if code != EINTR { return -Int(code) }
        }
    }

    @inline(never)
    static func send(_ descriptor: Int32, file: Int32, offset: Int, count: Int) -> Int {
        var position = off_t(offset)
        while true {
            let result = sendfile(descriptor, file, &position, count)
            if result >= 0 { return result }
            let code = errno
            if code != EINTR { return -Int(code) }
        }
    }

    /// Fills as much of `room` as there is to read.
    @inline(never)
    static func read(_ descriptor: Int32, _ room: inout [UInt8]) -> Int {
        while true {
            let result = Glibc.read(descriptor, &room, room.count)
            if result >= 0 { return result }
            let code = errno
            if code != EINTR { return -Int(code) }
        }
    }
}

/// Sets an integer socket option.
func setOption(_ descriptor: Int32, _ level: Int32, _ option: Int32, _ value: Int32) throws(SystemError) {
    var value = value
    guard setsockopt(descriptor, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0 else {
        throw .last("setsockopt")
    }
}
