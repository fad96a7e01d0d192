import Glibc

/// A system call that failed, and why.
package struct SystemError: Error, Hashable, Sendable {
    /// The errno value.
    package let code: Int32
    /// The call's name, e.g. `bind`.
    package let call: String

    package init(_ call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    /// The error of the call that has just failed on this thread.
    static func last(_ call: String) -> SystemError {
        SystemError(call, code: errno)
    }
}

extension SystemError: CustomStringConvertible {
    /// The reason alone, without the call.
    package var reason: String { String(cString: strerror(code)) }

    /// `bind: Address already in use`.
    package var description: String {
        "\(call): \(reason)"
    }
}

extension SystemError {
    /// Somebody else has the address.
    package var isAddressInUse: Bool { code == EADDRINUSE }

    /// The machine has no such address, or not its family.
    package var isAddressMissing: Bool { code == EADDRNOTAVAIL || code == EAFNOSUPPORT }
}
