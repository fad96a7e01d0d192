import Foundation
import Glibc
import Synchronization

/// A connection that says what a test wants it to say; its calls wait on threads of their own.
final class RawClient: Sendable {
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Seconds that a read or write may take: a test that hangs is to fail instead.
    private static let patience = 20

    private let descriptor: Int32
    private let buffered = Mutex<[UInt8]>([])

    convenience init(port: Int, receiveBuffer: Int32? = nil) throws {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        try self.init(AF_INET, receiveBuffer: receiveBuffer) { descriptor in
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }

    convenience init(unixPath: String) throws {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(unixPath.utf8)) }
        try self.init(AF_UNIX, receiveBuffer: nil) { descriptor in
            withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
    }

    private init(_ family: Int32, receiveBuffer: Int32?, connect: (Int32) -> Int32) throws {
        descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if var size = receiveBuffer {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
        }
        var patience = timeval(tv_sec: Self.patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        guard connect(descriptor) == 0 else {
            throw Failure(description: "connect: \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        Glibc.close(descriptor)
    }

    // MARK: Output

    func send(_ text: String) async throws {
        try await send(Array(text.utf8))
    }

    func send(_ bytes: [UInt8]) async throws {
        try await onThread { [descriptor] in
            var sent = 0
            while sent < bytes.count {
                let count = bytes.withUnsafeBytes { bytes in
                    uninterrupted {
                        Glibc.send(
                            descriptor,
                            bytes.baseAddress.map { $0 + sent },
                            bytes.count - sent,
                            Int32(MSG_NOSIGNAL)
                        )
                    }
                }
                guard count > 0 else { throw Failure(description: "send: \(String(cString: strerror(errno)))") }
                sent += count
            }
        }
    }

    /// Sends what the kernel takes at once; returns how much that was.
    func sendWithoutWaiting(_ bytes: [UInt8]) -> Int {
        let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        return max(0, bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, flags) })
    }

    /// Sends the FIN.
    func finish() {
        Glibc.shutdown(descriptor, Int32(SHUT_WR))
    }

    /// Breaks the connection off: the server sees a reset.
    func breakOff() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        // Connecting to nothing dissolves the connection but keeps the descriptor, which is closed in the end.
        var nothing = sockaddr()
        nothing.sa_family = sa_family_t(AF_UNSPEC)
        connect(descriptor, &nothing, socklen_t(MemoryLayout<sockaddr>.size))
    }

    // MARK: Input

    /// Reads `count` bytes with a pause of so many milliseconds before each part of them; returns how many came.
    ///
    /// All on one thread, which says when it begins: however busy the other tests are, it pauses no longer.
    func takeSlowly(
        _ count: Int,
        atOnce: Int,
        pause: UInt32,
        whenReady: @escaping @Sendable () -> Void
    ) async throws -> Int {
        try await onThread { [descriptor] in
            whenReady()
            var part = [UInt8](repeating: 0, count: atOnce)
            var taken = 0
            while taken < count {
                usleep(1000 * pause)
                let most = min(atOnce, count - taken)
                let received = uninterrupted { recv(descriptor, &part, most, Int32(MSG_WAITALL)) }
                guard received > 0 else { break }
                taken += received
            }
            return taken
        }
    }

    /// Reads one response, interim ones included.
    func response(isHead: Bool = false) async throws -> RawResponse {
        var response = RawResponse(head: try await take(through: "\r\n\r\n"))
        switch response.status {
        case 100..<200, 204, 304: return response
        default: if isHead { return response }
        }
        if response["transfer-encoding"] == "chunked" {
            try await readChunks(into: &response)
        } else if let length = response["content-length"].flatMap({ Int($0) }) {
            response.bytes = try await take(length)
        } else {
            response.bytes = try await rest()
        }
        return response
    }

    private func readChunks(into response: inout RawResponse) async throws {
        while true {
            let line = try await take(through: "\r\n").dropLast()
            guard let size = Int(line, radix: 16) else { throw Failure(description: "'\(line)' is no chunk size") }
            response.chunks.append(size)
            guard size > 0 else { break }
            response.bytes += try await take(size)
            _ = try await take(through: "\r\n")
        }
        while true {
            let line = String(try await take(through: "\r\n").dropLast())
            guard !line.isEmpty else { return }
            response.trailers.append(line)
        }
    }

    /// Everything until the server's FIN.
    func rest() async throws -> [UInt8] {
        while try await readMore() {}
        return buffered.withLock { bytes in
            defer { bytes = [] }
            return bytes
        }
    }

    /// Reads so many bytes.
    func take(_ count: Int) async throws -> [UInt8] {
        while buffered.withLock({ $0.count }) < count {
            guard try await readMore() else { throw Failure(description: "the server ended within a body") }
        }
        return buffered.withLock { bytes in
            defer { bytes.removeFirst(count) }
            return Array(bytes.prefix(count))
        }
    }

    private func take(through end: String) async throws -> String {
        let end = Data(end.utf8)
        while true {
            let found = buffered.withLock { bytes -> [UInt8]? in
                guard let range = Data(bytes).firstRange(of: end) else { return nil }
                defer { bytes.removeFirst(range.upperBound) }
                return Array(bytes.prefix(range.upperBound))
            }
            if let found { return String(decoding: found, as: UTF8.self) }
            guard try await readMore() else { throw Failure(description: "the server ended within a head") }
        }
    }

    /// Reads what there is; false at the server's FIN.
    private func readMore() async throws -> Bool {
        let bytes = try await onThread { [descriptor] in
            try [UInt8](unsafeUninitializedCapacity: 256 * 1024) { room, filled in
                let count = uninterrupted { recv(descriptor, room.baseAddress, room.count, 0) }
                guard count >= 0 else { throw Failure(description: "recv: \(String(cString: strerror(errno)))") }
                filled = count
            }
        }
        buffered.withLock { $0 += bytes }
        return !bytes.isEmpty
    }
}

/// A response as it came over the wire.
struct RawResponse: Sendable {
    let status: Int
    /// Name and value of each field, as they came.
    let fields: [(name: String, value: String)]
    var bytes: [UInt8] = []
    /// The size of each chunk, the last one's 0 included.
    var chunks: [Int] = []
    /// Whole lines.
    var trailers: [String] = []

    var body: String { String(decoding: bytes, as: UTF8.self) }

    init(head: String) {
        let lines = head.components(separatedBy: "\r\n")
        status = lines.first.flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) } ?? 0
        fields = lines.dropFirst()
            .compactMap { line in
                guard let colon = line.firstIndex(of: ":") else { return nil }
                let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                return (String(line[..<colon]), value)
            }
    }

    subscript(name: String) -> String? {
        fields.first { $0.name == name }?.value
    }

    subscript(all name: String) -> [String] {
        fields.filter { $0.name == name }.map { $0.value }
    }
}

/// Calls again what a signal has interrupted: those of other tests reach any thread, and a socket with a time limit is not
/// waited for again by itself (signal(7)).
private func uninterrupted(_ call: () -> Int) -> Int {
    while true {
        let result = call()
        if result >= 0 || errno != EINTR { return result }
    }
}

/// Runs what blocks outside of Swift's pool, whose few threads the servers under test may need.
func onThread<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let thread = Thread { continuation.resume(with: Result { try work() }) }
        thread.start()
    }
}
