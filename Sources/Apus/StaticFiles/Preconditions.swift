import ApusGateway

/// The conditions of a request, held against a file (RFC 9110 §13).
enum Preconditions {
    enum Outcome {
        case passed
        /// 304: the client has it already.
        case notModified
        /// 412: it is not what the client takes it for.
        case failed
    }

    /// Evaluates the conditions of a GET or HEAD in the order of RFC 9110 §13.2.2.
    static func evaluate(_ headers: Headers, _ validators: FileValidators) -> Outcome {
        if headers.contains("if-match") {
            // RFC 9110 §13.1.1: by strong comparison.
            guard matches(headers[all: "if-match"], validators, strongly: true) else { return .failed }
        } else if let date = headers["if-unmodified-since"].flatMap({ HTTPDate.seconds($0) }) {
            guard let modified = validators.modified, modified <= date else { return .failed }
        }
        if headers.contains("if-none-match") {
            // RFC 9110 §13.1.2: by weak comparison; If-Modified-Since is not looked at then (§13.1.3).
            return matches(headers[all: "if-none-match"], validators, strongly: false) ? .notModified : .passed
        }
        if let date = headers["if-modified-since"].flatMap({ HTTPDate.seconds($0) }),
            let modified = validators.modified, modified <= date
        {
            return .notModified
        }
        return .passed
    }

    /// Whether a range may be answered with a part: without If-Range, or with one that is strongly the same (§13.1.5).
    static func allowsRange(_ headers: Headers, _ validators: FileValidators) -> Bool {
        guard let condition = headers["if-range"] else { return true }
        guard !validators.isWeak else { return false }
        if condition.hasPrefix("\"") { return condition == validators.tag }
        // A date matches only exactly. A weak tag is not a date either, and never matches.
        guard let modified = validators.modified else { return false }
        return HTTPDate.seconds(condition) == modified
    }

    /// Whether a list of entity tags names this file; `*` names any.
    private static func matches(_ values: [String], _ validators: FileValidators, strongly: Bool) -> Bool {
        values.contains { value in
            var list = EntityTagList(value)
            while let candidate = list.next() {
                if candidate.isAny { return true }
                // RFC 9110 §8.8.3.2: a strong comparison takes two strong tags, a weak one only the same text.
                if candidate.tag == validators.tag && !(strongly && (candidate.isWeak || validators.isWeak)) {
                    return true
                }
            }
            return false
        }
    }
}

/// The members of an If-Match or If-None-Match value; ends at the first that is no entity tag.
struct EntityTagList {
    private var rest: Substring.UTF8View

    init(_ value: String) {
        rest = value[...].utf8
    }

    struct Member: Equatable {
        /// With its quotes; `*` for any.
        let tag: String
        let isWeak: Bool

        var isAny: Bool { tag == "*" }
    }

    mutating func next() -> Member? {
        rest = rest.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: ",") }
        if rest.first == UInt8(ascii: "*") {
            rest = rest.dropFirst()
            return Member(tag: "*", isWeak: false)
        }
        let isWeak = rest.starts(with: "W/".utf8)
        if isWeak { rest = rest.dropFirst(2) }
        // A tag's text may have commas in it, but no quotes (RFC 9110 §8.8.3).
        guard rest.first == UInt8(ascii: "\""),
            let end = rest.dropFirst().firstIndex(of: UInt8(ascii: "\""))
        else { return nil }
        let tag = String(Substring(rest[...end]))
        rest = rest[rest.index(after: end)...]
        return Member(tag: tag, isWeak: isWeak)
    }
}
