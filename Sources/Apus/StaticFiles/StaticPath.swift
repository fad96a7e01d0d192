import ApusGateway

/// The path of a request as names of files: decoded once, checked name by name, never put together again.
struct StaticPath {
    /// The names below the root, decoded; none of them is empty, has a slash, or begins with a dot.
    let segments: [[UInt8]]
    /// Whether a directory is asked for.
    let endsWithSlash: Bool
    /// The names under which the application is mounted.
    private let mount: [[UInt8]]

    /// Reads a path as it came, percent-encoded.
    ///
    /// - Parameter rootPath: Where the application is mounted; left out of the names where the path begins with it. (A
    ///   path without it comes from a proxy that has taken it off.)
    /// - Throws: `notFound` for names that no file is served under.
    init(target: Bytes, mountedAt rootPath: String) throws(StaticRoot.Refusal) {
        guard target.first == Self.slash else { throw .notFound }
        var names: [[UInt8]] = []
        // Slashes in a row are one, as they are to the file system.
        for part in target.split(separator: Self.slash) {
            names.append(try Self.name(part))
        }
        mount = rootPath.utf8.split(separator: Self.slash).map { Array($0) }
        segments = names.starts(with: mount) ? Array(names.dropFirst(mount.count)) : names
        guard Self.areServed(segments) else { throw .notFound }
        endsWithSlash = target.last == Self.slash
    }

    /// The public path of this directory: with the mount, percent-encoded, with one slash at both ends.
    var location: [UInt8] {
        var path: [UInt8] = [Self.slash]
        for name in mount + segments {
            for byte in name { Self.encode(byte, into: &path) }
            path.append(Self.slash)
        }
        return path
    }

    // MARK: - Names

    private static let slash = UInt8(ascii: "/")

    /// Decodes one name. After decoding it must still be one: a `%2F` in it, a NUL, or a backslash, which some systems
    /// take for a slash, cannot be meant well.
    private static func name(_ part: Bytes.SubSequence) throws(StaticRoot.Refusal) -> [UInt8] {
        var name: [UInt8] = []
        name.reserveCapacity(part.count)
        var index = part.startIndex
        while index < part.endIndex {
            var byte = part[index]
            index += 1
            if byte == UInt8(ascii: "%") {
                // RFC 3986 §2.1: two hexadecimal digits follow.
                guard part.endIndex - index >= 2,
                    let high = hexDigitValue(part[index]), let low = hexDigitValue(part[index + 1])
                else { throw .notFound }
                byte = high << 4 | low
                index += 2
            }
            guard byte != slash, byte != 0, byte != UInt8(ascii: "\\") else { throw .notFound }
            name.append(byte)
        }
        return name
    }

    /// Nothing whose name begins with a dot: neither `.` and `..`, which clients resolve (RFC 3986 §5.2.4), nor the
    /// files that keep secrets. Well-known locations (RFC 8615) are meant to be seen.
    private static func areServed(_ segments: [[UInt8]]) -> Bool {
        let hidden = segments.filter { $0.first == UInt8(ascii: ".") }
        if hidden.isEmpty { return true }
        return hidden.count == 1 && segments.first == Array(".well-known".utf8)
    }

    /// Keeps what a path may have as it is (RFC 3986 §3.3 `pchar`), and writes the rest as `%41`.
    private static func encode(_ byte: UInt8, into path: inout [UInt8]) {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            path.append(byte)
        default:
            if "-._~!$&'()*+,;=:@".utf8.contains(byte) {
                path.append(byte)
            } else {
                let digits = Array("0123456789ABCDEF".utf8)
                path += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
    }
}
