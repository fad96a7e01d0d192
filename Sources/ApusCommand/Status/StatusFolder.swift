/// Where supervisors of a user have the sockets on which they tell how they are, each named after its process.
enum StatusFolder {
    /// Where a supervisor makes its own: a folder of that user alone.
    ///
    /// - Parameter runtime: What `XDG_RUNTIME_DIR` says.
    static func usual(_ runtime: String?, user: UInt32) -> String {
        if let runtime, runtime.hasPrefix("/") { return "\(runtime)/apus" }
        return user == 0 ? "/run/apus" : "/tmp/apus-\(user)"
    }

    /// Where any supervisor may have made it: whoever asks is often logged in, where the server was not.
    static func all(_ runtime: String?, user: UInt32) -> [String] {
        let folders = [usual(runtime, user: user), usual(nil, user: user)]
        return folders[0] == folders[1] ? [folders[0]] : folders
    }
}
