import COpenSSL

/// OpenSSL's queue of errors, which belongs to the thread: cleared before each call, read right after it.
enum OpenSSLErrors {
    /// Forgets what earlier calls on this thread have left.
    static func clear() {
        // Clearing walks through all sixteen places of the queue, also when it is empty, as it nearly always is.
        if ERR_peek_error() != 0 { ERR_clear_error() }
    }

    /// Empties the queue. The first error of the TLS library says most; without one, the first error is the cause.
    static func take() -> UInt {
        var found = ERR_get_error()
        var next = found
        while next != 0 {
            if ERR_GET_LIB(found) != ERR_LIB_SSL, ERR_GET_LIB(next) == ERR_LIB_SSL { found = next }
            next = ERR_get_error()
        }
        return found
    }

    /// What a code means, in the library's own constant words.
    static func text(_ code: UInt) -> String {
        // The string is static, or nil for a code that the library has no words for.
        guard let reason = ERR_reason_error_string(code) else { return "unknown error" }
        return String(cString: reason)
    }

    /// Empties the queue into words.
    static func takeText() -> String {
        text(take())
    }
}
