import ApusGateway
import ApusHTTP
import ApusTransport

/// The fields that the server adds to the responses of one listener, made anew once a second.
final class ResponseDefaults {
    private let serverHeader: Bool
    private let dateHeader: Bool
    /// The Alt-Svc value (RFC 7838 §3): only over TLS and TCP, and only while HTTP/3 is served.
    private let altSvc: String?
    private var cached = Headers()
    private var staleAt = Instant(nanoseconds: 0)

    init(configuration: Configuration, altSvc: String?) {
        serverHeader = configuration.serverHeader
        dateHeader = configuration.dateHeader
        self.altSvc = altSvc
    }

    /// The fields at this time.
    func fields(at now: Instant) -> Headers {
        if now >= staleAt { refresh(now) }
        return cached
    }

    private func refresh(_ now: Instant) {
        let (seconds, nanoseconds) = WallClock.now()
        // The next second of the wall clock, not one second from now: the date is never a second late.
        staleAt = now + TimeSpan(nanoseconds: 1_000_000_000 - min(nanoseconds, 999_999_999))
        var fields = Headers(reservingFields: 3, bytes: 96)
        if dateHeader { fields.append("date", Bytes(DateField.text(unixSeconds: Int(seconds)))) }
        if serverHeader { fields.append("server", "apus") }
        if let altSvc { fields.append("alt-svc", altSvc) }
        cached = fields
    }
}
