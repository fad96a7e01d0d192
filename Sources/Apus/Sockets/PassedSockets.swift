import ApusTransport
import Glibc

/// The sockets that this process was started with, each to be taken once.
struct PassedSockets {
    /// What systemd has passed, with the names of its units' `FileDescriptorName=`.
    private let passed: [(descriptor: Int32, name: String)]
    private var taken: Set<Int32> = []

    init(passed: [(descriptor: Int32, name: String)] = []) {
        self.passed = passed
    }

    /// The sockets of this process.
    static func ofProcess() -> PassedSockets {
        var environment: [String: String] = [:]
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            environment[name] = getenv(name).map { String(cString: $0) }
        }
        return PassedSockets(passed: ServiceManager.passedSockets(environment))
    }

    /// Takes over what a place stands for: at least one socket.
    mutating func take(_ bind: Bind) throws(ConfigurationError) -> [BoundSocket] {
        var sockets: [BoundSocket] = []
        for descriptor in try descriptors(of: bind) {
            guard taken.insert(descriptor).inserted else {
                throw ConfigurationError(option: "--bind", "two places stand for one socket: \(bind)")
            }
            do {
                sockets.append(try BoundSocket(inherited: descriptor))
            } catch {
                throw ConfigurationError(option: "--bind", Self.explain(error, descriptor))
            }
        }
        return sockets
    }

    private func descriptors(of bind: Bind) throws(ConfigurationError) -> [Int32] {
        switch bind {
        case .address, .unix:
            return []
        case .descriptor(let number):
            return [number]
        case .systemd(let name):
            guard !passed.isEmpty else {
                throw ConfigurationError(
                    option: "--bind",
                    "systemd has passed no socket to this process (LISTEN_FDS and LISTEN_PID): \(bind)"
                )
            }
            let found = passed.filter { name == nil || $0.name == name }
            guard !found.isEmpty else {
                let names = Set(passed.map(\.name)).sorted().joined(separator: ", ")
                throw ConfigurationError(
                    option: "--bind",
                    "systemd has passed no socket of that name, only \(names): \(bind)"
                )
            }
            return found.map(\.descriptor)
        }
    }

    private static func explain(_ error: SystemError, _ descriptor: Int32) -> String {
        switch error.code {
        case EBADF: "descriptor \(descriptor) is not open"
        case ENOTSOCK: "descriptor \(descriptor) is not a socket"
        case EDESTADDRREQ: "descriptor \(descriptor) is a socket that is bound to no address"
        case EISCONN: "descriptor \(descriptor) is the socket of one connection, not one that listens"
        case ESOCKTNOSUPPORT, EPROTONOSUPPORT, EAFNOSUPPORT:
            "descriptor \(descriptor) is a socket of a kind that is not served: TCP, UDP and unix streams are"
        default: "descriptor \(descriptor) cannot be used: \(error)"
        }
    }
}
