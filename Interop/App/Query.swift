import ApusGateway

/// The parameters of a query, as they came.
struct Query {
    private let pairs: [Substring]

    init(_ bytes: Bytes) {
        pairs = bytes.description.split(separator: "&")
    }

    subscript(name: String) -> String? {
        pairs.first { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    subscript(number name: String) -> Int? {
        self[name].flatMap { Int($0) }
    }
}
