import ApusGateway

/// What tells one state of a file from another (RFC 9110 §8.8).
struct FileValidators {
    /// The opaque part of the entity tag, with its quotes.
    let tag: String
    /// Whether the file may have changed unnoticed since its time was set: within the same tick of the clock.
    let isWeak: Bool
    /// The time of the last change, in seconds; nil where it lies in the future.
    let modified: Int?

    /// - Parameter now: Seconds since 1970.
    init(of file: OpenFile, now: Int) {
        let time = file.modified
        let nanoseconds = UInt64(truncatingIfNeeded: time.seconds &* 1_000_000_000 &+ time.nanoseconds)
        tag = "\"" + String(nanoseconds, radix: 16) + "-" + String(file.size, radix: 16) + "\""
        // RFC 9110 §8.8.2.2: a time is a strong validator once it is a second old at the least.
        isWeak = time.seconds >= now - 1
        // RFC 9110 §8.8.2.1: never later than the time of the response.
        modified = time.seconds <= now ? time.seconds : nil
    }

    /// The entity tag as it is sent.
    var entityTag: String { isWeak ? "W/" + tag : tag }

    /// `etag` and `last-modified`.
    var fields: Headers {
        var fields: Headers = ["etag": entityTag]
        if let modified, let text = HTTPDate.text(modified) { fields.append("last-modified", text) }
        return fields
    }
}
