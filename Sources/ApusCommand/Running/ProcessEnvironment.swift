import Glibc

/// The environment of this process, as it is now.
enum ProcessEnvironment {
    static func variables() -> [String: String] {
        var variables: [String: String] = [:]
        // Read while nobody else changes it: before the application runs.
        var entry = environ
        while let text = entry.pointee {
            let line = String(cString: text)
            if let equals = line.firstIndex(of: "="), equals > line.startIndex {
                variables[String(line[..<equals])] = String(line[line.index(after: equals)...])
            }
            entry += 1
        }
        return variables
    }

    static func remove(_ name: String) {
        unsetenv(name)
    }
}
