import ApusGateway
import ApusHTTP

/// What an application may put into a response's fields, on every version of HTTP alike.
enum ResponseRules {
    /// What a pass over an application's fields found.
    private struct Findings {
        var contentLength: Int?
        var hasContentLength = false
        var hasConnectionSpecific = false
        var closes = false
        var overridden: ServerFields = []
        var complaint: String?
    }

    /// The fields that the server adds where the application has not.
    struct ServerFields: OptionSet {
        let rawValue: Int

        static let date = ServerFields(rawValue: 1)
        static let server = ServerFields(rawValue: 2)
        static let altSvc = ServerFields(rawValue: 4)
    }

    /// Makes the head of a response.
    ///
    /// - Throws: ``ContractViolation`` for a status, name or value that must not go out, or a content-length that is none.
    static func head(
        _ status: Int,
        _ headers: Headers,
        for request: RequestHead,
        defaults: Headers
    ) throws -> ResponseHead {
        guard (200...999).contains(status) else {
            throw ContractViolation("\(status) is not a status from 200 to 999")
        }
        let findings = examine(headers)
        if let complaint = findings.complaint { throw ContractViolation(complaint) }
        let head = ResponseHead(status: status, headers: headers, defaults: defaults)
        // ASGI: a transfer-encoding of the application's is ignored. RFC 9113 §8.2.2, RFC 9114 §4.2: nor has any other
        // field of one hop a place; what `connection: close` asks for is done by the engine.
        if findings.hasConnectionSpecific {
            head.headers = headers.filtered { name, _ in !FieldRules.isConnectionSpecific(name) }
        }
        if !findings.overridden.isEmpty {
            head.defaults = defaults.filtered { name, _ in !findings.overridden.contains(serverField(name)) }
        }
        head.closesConnection = findings.closes
        head.contentLength = findings.contentLength
        // RFC 9110 §6.4.1: these have no body, whatever their fields say.
        head.endsStream = request.isHead || status == 204 || status == 304
        if !allowsContentLength(status), findings.hasContentLength {
            head.headers.remove("content-length")
            head.contentLength = nil
        }
        return head
    }

    /// RFC 9110 §8.6: no content-length in a 204.
    static func allowsContentLength(_ status: Int) -> Bool {
        status != 204
    }

    private static func examine(_ headers: Headers) -> Findings {
        var findings = Findings()
        headers.forEachField { name, value in
            guard FieldRules.isToken(name) else {
                findings.complaint = "a field name is not a token"
                return
            }
            guard FieldRules.isValue(value) else {
                findings.complaint = "the value of '\(String(decoding: name, as: UTF8.self))' has a control character"
                return
            }
            examine(name, value, &findings)
        }
        return findings
    }

    private static func examine(
        _ name: UnsafeRawBufferPointer,
        _ value: UnsafeRawBufferPointer,
        _ findings: inout Findings
    ) {
        switch name.count {
        case 4, 6:
            findings.overridden.formUnion(serverField(name))
        case 7:
            if FieldRules.equals(name, "alt-svc") { findings.overridden.insert(.altSvc) }
            findings.hasConnectionSpecific = findings.hasConnectionSpecific || FieldRules.isConnectionSpecific(name)
        case 10, 16, 17:
            guard FieldRules.isConnectionSpecific(name) else { return }
            findings.hasConnectionSpecific = true
            if FieldRules.equals(name, "connection"), FieldRules.list(value, contains: "close") {
                findings.closes = true
            }
        case 14 where FieldRules.equals(name, "content-length"):
            // RFC 9110 §8.6: one length, in digits.
            guard !findings.hasContentLength, let length = FieldRules.decimal(value) else {
                findings.complaint = "content-length must be one number"
                return
            }
            findings.hasContentLength = true
            findings.contentLength = length
        default:
            return
        }
    }

    private static func serverField(_ name: UnsafeRawBufferPointer) -> ServerFields {
        if FieldRules.equals(name, "date") { return .date }
        if FieldRules.equals(name, "server") { return .server }
        return FieldRules.equals(name, "alt-svc") ? .altSvc : []
    }

    /// Checks trailer fields (RFC 9110 §6.5.1).
    static func check(trailers: Headers) throws {
        var complaint = examine(trailers).complaint
        trailers.forEachField { name, _ in
            let forbidden = FieldRules.isConnectionSpecific(name) || FieldRules.equals(name, "content-length")
            if forbidden { complaint = "'\(String(decoding: name, as: UTF8.self))' cannot be a trailer" }
        }
        if let complaint { throw ContractViolation(complaint) }
    }

    /// The fields of a 103: one `link` for each (RFC 8297).
    static func earlyHint(_ links: [Bytes]) throws -> Headers {
        var hint = Headers(reservingFields: links.count, bytes: 0)
        for link in links {
            guard link.withUnsafeBytes({ FieldRules.isValue($0) }) else {
                throw ContractViolation("an early hint's link has a control character")
            }
            hint.append("link", link)
        }
        return hint
    }
}
