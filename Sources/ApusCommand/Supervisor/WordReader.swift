/// The words of a line that are still to be read.
struct WordReader {
    private var words: ArraySlice<Substring>

    init(_ line: [UInt8]) {
        words = String(decoding: line, as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)[...]
    }

    var isAtEnd: Bool { words.isEmpty }

    /// The next one, whatever it is.
    mutating func next() -> Substring? {
        words.popFirst()
    }

    /// A decimal number without a sign; nil for anything else.
    mutating func number(below end: Int = .max) -> Int? {
        guard let word = next(), !word.isEmpty, word.utf8.allSatisfy({ (48...57).contains($0) }),
            let number = Int(word), number < end
        else { return nil }
        return number
    }

    /// All that follow.
    mutating func numbers(below end: Int) -> [Int]? {
        var numbers: [Int] = []
        while !isAtEnd {
            guard let number = number(below: end) else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// Bytes in hexadecimal.
    mutating func bytes() -> [UInt8]? {
        next().flatMap { Hexadecimal.bytes(of: $0) }
    }
}
