import ApusHTTP

/// What a supervisor hands to the executable that takes its place.
struct SupervisionState: Equatable, Sendable {
    /// As lines of text.
    var encoded: String { "" }

    /// Nil for anything that no supervisor has written, and for a later format.
    init?(encoded: String) {
        return nil
    }
}
