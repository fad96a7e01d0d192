import ApusGateway
import ApusHTTP

/// A request head while its fields come in, in their order on the wire.
///
/// The library has checked by then what RFC 9113 §8.2 and §8.3 ask for: characters, the order and number of
/// pseudo-header fields, fields of the connection. What is left is ours.
struct RequestFields: ~Copyable {
    private var section = FieldSection(reservingFields: 8, bytes: 256)
    private var method = ""
    private var target = Bytes()
    private var contentLength: Int?
    private var hasAuthority = false
    /// Where a `host` field without an authority before it stands.
    private var hostIndex: Int?
    private var expectsContinue = false
    private var acceptsTrailers = false
    /// Whether `:protocol` is `websocket`; the library has seen to it that only CONNECT has one (RFC 8441 §4).
    private var namesWebSocket = false
    /// The status that answers the request in the application's place.
    private(set) var refusal: Int?

    /// Whether the client has said how urgent the response is (RFC 9218 §5).
    private(set) var hasPriority = false

    /// Whether the response must not have a body.
    var isHead: Bool { method == "HEAD" }

    /// Whether the rest of the block is not worth decoding.
    func isHopeless(within limits: Limits) -> Bool { section.isHopeless(within: limits) }

    /// Takes one field; the pointers are valid for the call.
    mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, within limits: Limits) {
        let isPseudo = name.first == UInt8(ascii: ":")
        if isPseudo, name.count == Pseudo.path, value.count > limits.maxRequestLineSize {
            refuse(414)
            return
        }
        guard section.admit(name, value, within: limits) else {
            refuse(431)
            return
        }
        if isPseudo {
            addPseudo(name, value, within: limits)
        } else {
            addRegular(name, value, within: limits)
        }
        if section.isExcessive { refuse(431) }
    }

    private mutating func refuse(_ status: Int) {
        if refusal == nil { refusal = status }
    }

    private mutating func addPseudo(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        within limits: Limits
    ) {
        switch name.count {
        case Pseudo.methodOrScheme where name[1] == UInt8(ascii: "m"):
            method = String(decoding: value, as: UTF8.self)
        case Pseudo.path:
            target = Bytes(copying: value)
        case Pseudo.authority:
            hasAuthority = true
            let host: StaticString = "host"
            let hostName = UnsafeRawBufferPointer(start: host.utf8Start, count: host.utf8CodeUnitCount)
            section.append(hostName, value, within: limits)
            if value.isEmpty { refuse(400) }
        case Pseudo.protocolName:
            namesWebSocket = FieldRules.equals(value, "websocket")
        default:
            // `:scheme` is not looked at: the scheme is the connection's, not what the client claims.
            break
        }
    }

    private mutating func addRegular(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        within limits: Limits
    ) {
        switch name.count {
        case 8 where FieldRules.equals(name, "priority"):
            hasPriority = true
        case 2 where FieldRules.equals(name, "te"):
            acceptsTrailers = FieldRules.list(value, contains: "trailers")
        case 4 where FieldRules.equals(name, "host"):
            guard !hasAuthority else {
                // RFC 9113 §8.3.1: a host that differs from the authority makes the request malformed.
                if !agrees(value) { refuse(400) }
                return
            }
            hostIndex = section.headers.count
        case 6 where FieldRules.equals(name, "expect"):
            expectsContinue = FieldRules.list(value, contains: "100-continue")
        case 14 where FieldRules.equals(name, "content-length"):
            contentLength = FieldRules.decimal(value)
            if contentLength == nil { refuse(400) }
        default:
            break
        }
        section.append(name, value, within: limits)
    }

    /// Whether a host is the authority, which stands first.
    private func agrees(_ host: UnsafeRawBufferPointer) -> Bool {
        guard let authority = section.headers.fields.first else { return true }
        return section.headers.bytes.withUnsafeBytes { bytes in
            asciiCaseInsensitiveEqual(UnsafeRawBufferPointer(rebasing: bytes[authority.valueRange]), host)
        }
    }

    /// The request, or the status that answers it in the application's place.
    consuming func finish(secure: Bool, hasBody: Bool) -> Result<RequestHead, Refusal> {
        if let refusal { return .failure(Refusal(status: refusal)) }
        let isWebSocket = method == "CONNECT" && namesWebSocket
        // RFC 9110 §9.3.6, RFC 8441 §4: a tunnel to elsewhere, or for another protocol, is not offered here.
        guard method != "CONNECT" || isWebSocket else { return .failure(Refusal(status: 501)) }
        guard targetIsValid else { return .failure(Refusal(status: 400)) }
        // RFC 9110 §9.3.6: a CONNECT has no content that could have a length.
        guard !isWebSocket || contentLength == nil else { return .failure(Refusal(status: 400)) }
        if let hostIndex, hostIndex > 0 { section.headers = Self.moveToFront(hostIndex, of: section.headers) }
        return .success(
            RequestHead(
                version: .http2,
                method: method,
                scheme: secure ? "https" : "http",
                target: target,
                headers: section.headers,
                contentLength: contentLength,
                // The peer's side of the tunnel, even where it has ended already.
                hasBody: hasBody || isWebSocket,
                expectsContinue: expectsContinue && hasBody && !isWebSocket,
                acceptsTrailers: acceptsTrailers,
                isWebSocket: isWebSocket
            )
        )
    }

    /// The library checks a target only under the schemes `http` and `https`; a client may claim another.
    private var targetIsValid: Bool {
        guard let first = target.first else { return false }
        if first == UInt8(ascii: "/") { return true }
        // RFC 9110 §9.3.7: `*` belongs to OPTIONS alone.
        return target.count == 1 && first == UInt8(ascii: "*") && method == "OPTIONS"
    }

    private static func moveToFront(_ index: Int, of all: Headers) -> Headers {
        var ordered = Headers(reservingFields: all.count, bytes: all.byteCount)
        all.bytes.withUnsafeBytes { bytes in
            let others = all.fields.indices.filter { $0 != index }
            for field in [all.fields[index]] + others.map({ all.fields[$0] }) {
                ordered.append(
                    name: UnsafeRawBufferPointer(rebasing: bytes[field.nameRange]),
                    value: UnsafeRawBufferPointer(rebasing: bytes[field.valueRange])
                )
            }
        }
        return ordered
    }
}

/// The lengths of the pseudo-header fields' names; the library lets no others through (RFC 9113 §8.3.1).
private enum Pseudo {
    static let path = 5
    static let methodOrScheme = 7
    static let protocolName = 9
    static let authority = 10
}

/// A request that the engine answers itself.
struct Refusal: Error {
    let status: Int
}
