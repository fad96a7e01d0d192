import CApusShims
import Glibc

/// A Unix domain socket's address as the socket interface has it: a path, or an abstract name behind a 0.
struct UnixAddress {
    private var raw = sockaddr_un()
    private var length: socklen_t

    /// Where the name begins.
    private static let headerBytes = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2

    /// Nil for an IP address, and for a name that is empty or does not fit.
    init?(_ address: BindAddress) {
        switch address {
        case .ip: return nil
        // A 0 inside would name another file; one at the end terminates.
        case .unix(let path): self.init([UInt8](path.utf8), isAbstract: false)
        case .abstract(let name): self.init([UInt8](name.utf8), isAbstract: true)
        }
    }

    private init?(_ name: [UInt8], isAbstract: Bool) {
        raw.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: raw.sun_path) - 1
        guard !name.isEmpty, name.count <= room, isAbstract || !name.contains(0) else { return nil }
        // An abstract name is as long as the address says, without a terminator.
        length = socklen_t(Self.headerBytes + 1 + name.count)
        withUnsafeMutableBytes(of: &raw.sun_path) { field in
            UnsafeMutableRawBufferPointer(rebasing: field[(isAbstract ? 1 : 0)...]).copyBytes(from: name)
        }
    }

    /// Applies `bind` or `connect`; 0 or the errno value.
    func apply(
        _ call: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32,
        to descriptor: Int32
    ) -> Int32 {
        withUnsafePointer(to: raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                call(descriptor, address, length) == 0 ? 0 : errno
            }
        }
    }

    /// The address that a Unix socket is bound to; nil if it is bound to none.
    static func local(of descriptor: Int32) -> BindAddress? {
        var raw = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = withUnsafeMutablePointer(to: &raw) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return nil }
        return withUnsafeBytes(of: &raw.sun_path) { field in
            // A path that fills the field is reported with a terminator that did not fit.
            let name = field.prefix(max(0, Int(length) - headerBytes))
            guard let first = name.first else { return nil }
            if first == 0 { return .abstract(name: String(decoding: name.dropFirst(), as: UTF8.self)) }
            return .unix(path: String(decoding: name.prefix { $0 != 0 }, as: UTF8.self))
        }
    }
}
