/// Looks for the end of a head (or of trailers) that comes in small pieces, each byte once, so that parsing it anew for
/// every piece does not cost the square of its length.
struct HeadScanner {
    /// Whether the first line is a request line.
    private let hasRequestLine: Bool
    private var scanned = 0
    private var lineStart = 0
    private var sectionStart: Int?
    /// Whether an attempt at parsing has found the input incomplete.
    private(set) var isUnderWay = false

    init(hasRequestLine: Bool) {
        self.hasRequestLine = hasRequestLine
        sectionStart = hasRequestLine ? nil : 0
    }

    /// Starts over, for the next head.
    mutating func reset() {
        self = HeadScanner(hasRequestLine: hasRequestLine)
    }

    /// Notes the bytes so far, and says whether a parser will come to a result on them: the section is complete, too
    /// large, or broken at a line's end.
    ///
    /// - Parameter bytes: Everything since the section began.
    mutating func canDecide(_ bytes: UnsafeRawBufferPointer, _ limits: HeadLimits) -> Bool {
        isUnderWay = true
        // `scanned` never runs ahead of the bytes, which only grow until the reset.
        while scanned < bytes.count {
            let byte = bytes[scanned]
            let followsReturn = scanned > 0 && bytes[scanned - 1] == UInt8(ascii: "\r")
            let endsLine = byte == UInt8(ascii: "\n")
            let isEmptyLine = endsLine && scanned - lineStart == 1
            if endsLine != followsReturn || isEmptyLine { return true }
            scanned += 1
            if endsLine {
                lineStart = scanned
                if sectionStart == nil { sectionStart = scanned }
            }
        }
        guard let sectionStart else { return bytes.count >= limits.requestLineSize + 2 }
        return bytes.count - sectionStart > limits.fieldSectionSize + 2
    }
}
