import CApusShims
import Glibc

/// A user or group that cannot be.
package enum AccountError: Error, Hashable, Sendable, CustomStringConvertible {
    case unknownUser(String)
    case unknownGroup(String)
    /// A user by a number that the system has no entry for, so that its group is not known either.
    case noGroup(user: String)

    package var description: String {
        switch self {
        case .unknownUser(let name): "there is no user '\(name)'"
        case .unknownGroup(let name): "there is no group '\(name)'"
        case .noGroup(let user): "user \(user) has no entry that would tell its group; give the group too"
        }
    }
}

/// Whom the process works for: a user and a group, found by their names before anything is given up.
package struct Account: Hashable, Sendable {
    package let user: uid_t
    package let group: gid_t
    /// The user's name, by which its further groups are found; nil where it has none.
    package let name: String?

    /// Looks up names or numbers (as chown does: a name first). Without a user it is the present one; without a group, the
    /// user's own.
    package init(user: String?, group: String?) throws(AccountError) {
        var primary: gid_t?
        if let user {
            let entry = PasswordEntry.find(name: user) ?? Self.number(user).flatMap { PasswordEntry.find(user: $0) }
            guard let number = entry?.user ?? Self.number(user) else { throw .unknownUser(user) }
            self.user = number
            name = entry?.name
            primary = entry?.group
        } else {
            self.user = geteuid()
            name = PasswordEntry.find(user: geteuid())?.name
            primary = getegid()
        }
        if let group {
            self.group = try Self.groupNumber(group)
        } else if let primary {
            self.group = primary
        } else {
            throw .noGroup(user: user ?? String(self.user))
        }
    }

    /// A user's number, by its name or number.
    package static func userNumber(_ text: String) throws(AccountError) -> uid_t {
        guard let number = PasswordEntry.find(name: text)?.user ?? number(text) else { throw .unknownUser(text) }
        return number
    }

    /// A group's number, by its name or number.
    package static func groupNumber(_ text: String) throws(AccountError) -> gid_t {
        guard let number = group(named: text) ?? number(text) else { throw .unknownGroup(text) }
        return number
    }

    /// Whether the process already is, with all its rights, this user in this group.
    package var isCurrent: Bool {
        apus_is_account(user, group) == 1
    }

    /// Whether the process may become it.
    package var canBeAssumed: Bool {
        isCurrent || geteuid() == 0
    }

    /// Becomes this user in its groups, in all threads, with no way back.
    ///
    /// - Throws: ``SystemError``; the process may have changed its groups then, and should end.
    package func assume() throws(SystemError) {
        guard !isCurrent else { return }
        // The groups first: the user may not change them.
        try check(apus_set_groups(name, group), "setgroups")
        try check(apus_set_group(group), "setresgid")
        try check(apus_set_user(user), "setresuid")
        guard isCurrent, user == 0 || setuid(0) != 0 else { throw SystemError("setresuid", code: EPERM) }
    }

    private func check(_ code: Int32, _ call: String) throws(SystemError) {
        guard code == 0 else { throw SystemError(call, code: -code) }
    }

    /// A user's or group's number; the largest means "none" to the system's calls.
    private static func number(_ text: String) -> UInt32? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let number = UInt32(text), number != .max else {
            return nil
        }
        return number
    }

    private static func group(named name: String) -> gid_t? {
        SystemDatabase.look { bytes, count in
            var entry = Glibc.group()
            var found: UnsafeMutablePointer<Glibc.group>?
            let code = getgrnam_r(name, &entry, bytes, count, &found)
            return (code, found.map { $0.pointee.gr_gid })
        }
    }
}

/// What is known of a user.
private struct PasswordEntry {
    let name: String
    let user: uid_t
    let group: gid_t

    static func find(name: String) -> PasswordEntry? {
        find { getpwnam_r(name, $0, $1, $2, $3) }
    }

    static func find(user: uid_t) -> PasswordEntry? {
        find { getpwuid_r(user, $0, $1, $2, $3) }
    }

    private typealias Lookup = (
        UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
        UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
    ) -> Int32

    private static func find(_ lookup: Lookup) -> PasswordEntry? {
        SystemDatabase.look { bytes, count in
            var entry = passwd()
            var found: UnsafeMutablePointer<passwd>?
            let code = lookup(&entry, bytes, count, &found)
            return (
                code,
                found.map { found in
                    PasswordEntry(
                        name: String(cString: found.pointee.pw_name),
                        user: found.pointee.pw_uid,
                        group: found.pointee.pw_gid
                    )
                }
            )
        }
    }
}

/// The databases of users and groups, whose entries have to fit memory of the caller's.
private enum SystemDatabase {
    /// A group of very many members is larger; nobody asks for its members here, but they come along.
    private static let maxBytes = 1 << 20

    static func look<Entry>(_ body: (UnsafeMutablePointer<CChar>, Int) -> (code: Int32, entry: Entry?)) -> Entry? {
        var count = 4096
        while count <= maxBytes {
            let room = UnsafeMutablePointer<CChar>.allocate(capacity: count)
            defer { room.deallocate() }
            let (code, entry) = body(room, count)
            // getpwnam_r(3): there was too little room.
            guard code == ERANGE || code == EINTR else { return entry }
            if code == ERANGE { count *= 4 }
        }
        return nil
    }
}
