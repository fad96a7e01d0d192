import Testing

@testable import ApusHTTP

struct UTF8ValidatorTests {
    /// Whether the pieces together are UTF-8.
    private func isText(_ pieces: ArraySlice<UInt8>...) -> Bool {
        var validator = UTF8Validator()
        return pieces.allSatisfy { piece in piece.withUnsafeBytes { validator.validate($0) } } && validator.isComplete
    }

    /// After how many bytes the validator gives up; nil where it does not.
    private func failure(_ bytes: [UInt8]) -> Int? {
        var validator = UTF8Validator()
        for (offset, byte) in bytes.enumerated() where !withUnsafeBytes(of: byte, { validator.validate($0) }) {
            return offset
        }
        return nil
    }

    @Test func `scalar values are text, whole and cut anywhere`() {
        // Coprime to every power of two: all bytes come in all places.
        for value in stride(from: UInt32(0), through: 0x10FFFF, by: 11) {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let bytes = Array(UTF8.encode(scalar) ?? UTF8.EncodedScalar())
            guard isText(bytes[...]), isText(bytes[..<1], bytes[1...]),
                isText(bytes[..<(bytes.count - 1)], bytes.suffix(1))
            else {
                Issue.record("U+\(String(value, radix: 16)) is refused")
                return
            }
        }
    }

    @Test func `short sequences are judged as the standard library judges them`() {
        let edges: [UInt8] = [0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0]
        for first in UInt8.min...UInt8.max {
            var sequences = [[first]]
            for second in edges {
                sequences.append([first, second])
                for third in edges { sequences += [[first, second, third], [first, second, third, 0x80]] }
            }
            for bytes in sequences where isText(bytes[...]) != (String(validating: bytes, as: UTF8.self) != nil) {
                Issue.record("\(bytes)")
            }
        }
    }

    @Test func `a wrong byte is found at its place, not at the end of its character`() {
        #expect(failure([0x80]) == 0)
        #expect(failure([0xC1, 0x80]) == 0)
        #expect(failure([0xE0, 0x9F, 0x80]) == 1)
        #expect(failure([0xED, 0xA0, 0x80]) == 1)
        #expect(failure([0xF0, 0x8F, 0x80, 0x80]) == 1)
        #expect(failure([0xF4, 0x90, 0x80, 0x80]) == 1)
        #expect(failure([0xF5, 0x80]) == 0)
        #expect(failure([0xE2, 0x82, 0x41]) == 2)
    }

    @Test func `a wrong byte is found wherever it lies in a long run of ASCII`() {
        for length in 1..<100 {
            for place in 0..<length {
                var bytes = [UInt8](repeating: 0x61, count: length)
                bytes[place] = 0xFF
                #expect(!isText(bytes[...]))
                bytes[place] = 0x7F
                #expect(isText(bytes[...]))
            }
        }
    }

    @Test func `text is complete only between characters`() {
        var validator = UTF8Validator()
        for (byte, unfinished) in zip(Array("a𝄞".utf8), [0, 1, 2, 3, 0]) {
            #expect(withUnsafeBytes(of: byte) { validator.validate($0) })
            #expect(validator.unfinished == unfinished)
            #expect(validator.isComplete == (unfinished == 0))
        }
    }
}
