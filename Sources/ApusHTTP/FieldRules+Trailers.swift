extension FieldRules {
    /// Whether a field means something only before the body, so that a trailer of that name is dropped (RFC 9110 §6.5.1):
    /// framing, routing, modifiers of the request, authentication, and what says how to read the content.
    package static func isForbiddenTrailer(_ name: UnsafeRawBufferPointer) -> Bool {
        switch name.count {
        case 2: equals(name, "te")
        case 3: equals(name, "age")
        case 4: equals(name, "host") || equals(name, "date") || equals(name, "vary")
        case 5: equals(name, "range")
        case 6: equals(name, "expect") || equals(name, "cookie") || equals(name, "pragma")
        case 7: equals(name, "trailer") || equals(name, "expires") || isConnectionSpecific(name)
        case 8: equals(name, "if-match") || equals(name, "if-range") || equals(name, "location")
        case 10: equals(name, "set-cookie") || isConnectionSpecific(name)
        case 11: equals(name, "retry-after")
        case 12: equals(name, "content-type") || equals(name, "max-forwards")
        case 13:
            equals(name, "authorization") || equals(name, "cache-control") || equals(name, "content-range")
                || equals(name, "if-none-match")
        case 14: equals(name, "content-length")
        case 16: equals(name, "content-encoding") || equals(name, "www-authenticate") || isConnectionSpecific(name)
        case 17: equals(name, "if-modified-since") || isConnectionSpecific(name)
        case 18: equals(name, "proxy-authenticate")
        case 19: equals(name, "proxy-authorization") || equals(name, "if-unmodified-since")
        default: false
        }
    }
}
