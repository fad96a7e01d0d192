import ApusTransport
import CApusShims
import Glibc
import Testing

@Suite(.timeLimit(.minutes(5)))
struct AccountTests {
    @Test func `a user is found by name and by number, with its group`() throws {
        let name = try Account(user: "daemon", group: nil)
        #expect(name.name == "daemon" && name.user != 0 && name.group != 0)
        #expect(try Account(user: String(name.user), group: nil) == name)
    }

    @Test func `a group is found by name and by number`() throws {
        let group = try Account(user: "daemon", group: "mail").group
        #expect(try Account(user: "daemon", group: "nogroup").group != group)
        #expect(try Account(user: "daemon", group: String(group)).group == group)
        let alone = try Account(user: nil, group: "mail")
        #expect(alone.user == geteuid() && alone.group == group)
    }

    @Test func `without either it is the present account`() throws {
        let account = try Account(user: nil, group: nil)
        #expect(account.user == geteuid() && account.group == getegid())
        #expect(account.isCurrent && account.canBeAssumed)
        try account.assume()
    }

    @Test func `a number without an entry needs a group`() throws {
        #expect(throws: AccountError.noGroup(user: "3999999")) { try Account(user: "3999999", group: nil) }
        let account = try Account(user: "3999999", group: "3999998")
        #expect(account.user == 3_999_999 && account.group == 3_999_998 && account.name == nil)
    }

    @Test(arguments: ["", "no such user", "-1", "+1", "4294967295", "4294967296", "1x"])
    func `what is neither a name nor a number is refused`(text: String) {
        #expect(throws: AccountError.unknownUser(text)) { try Account(user: text, group: nil) }
        #expect(throws: AccountError.unknownGroup(text)) { try Account(user: nil, group: text) }
    }

    @Test(.enabled(if: isRoot, "only root becomes another user"))
    func `an account is assumed whole, and for good`() async {
        await #expect(processExitsWith: .success) {
            let account = try Account(user: "daemon", group: "mail")
            #expect(account.canBeAssumed && !account.isCurrent)
            try account.assume()
            #expect(account.isCurrent)
            #expect(getuid() == account.user && geteuid() == account.user)
            #expect(getgid() == account.group && getegid() == account.group)
            var groups = [gid_t](repeating: 0, count: 64)
            let count = getgroups(64, &groups)
            #expect(!groups[..<Int(count)].contains(0), "root's groups are gone")
            #expect(setuid(0) != 0 && setgid(0) != 0)
            // And it is nobody else's any more.
            let other = try Account(user: "nobody", group: nil)
            #expect(!other.canBeAssumed)
            let error = #expect(throws: SystemError.self) { try other.assume() }
            #expect(error?.code == EPERM)
        }
    }

    @Test(.enabled(if: isRoot, "only root becomes another user"))
    func `a number without a name is assumed with its group alone`() async {
        await #expect(processExitsWith: .success) {
            try Account(user: "3999999", group: "3999998").assume()
            var groups = [gid_t](repeating: 0, count: 64)
            #expect(getgroups(64, &groups) == 1 && groups[0] == 3_999_998)
            #expect(getuid() == 3_999_999)
        }
    }

    @Test(.enabled(if: isRoot, "only root becomes another user"))
    func `all threads become the account`() async {
        await #expect(processExitsWith: .success) {
            try await withLoop { loop in
                try Account(user: "daemon", group: nil).assume()
                #expect(try await loop.run { geteuid() } != 0)
            }
        }
    }
}
