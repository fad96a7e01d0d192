import Testing

@testable import ApusHTTP

struct MaskKeyTests {
    private let key: [UInt8] = [0x11, 0x22, 0x44, 0x88]

    private var maskKey: MaskKey { MaskKey(key.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }) }

    private func masked(_ bytes: [UInt8], phase: Int = 0) -> [UInt8] {
        bytes.enumerated().map { $1 ^ key[($0 + phase) % 4] }
    }

    @Test(arguments: 0..<4) func `every length is unmasked at every alignment and phase`(phase: Int) {
        let bytes = (0..<200).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        let source = UnsafeMutableRawBufferPointer.allocate(byteCount: 300, alignment: 64)
        let target = UnsafeMutableRawBufferPointer.allocate(byteCount: 300, alignment: 64)
        defer {
            source.deallocate()
            target.deallocate()
        }
        for length in 0..<140 {
            for shift in 0..<9 {
                source.baseAddress.map { ($0 + shift).copyMemory(from: masked(bytes, phase: phase), byteCount: length) }
                target.initializeMemory(as: UInt8.self, repeating: 0xEE)
                var key = maskKey
                key.skip(phase)
                let input = UnsafeRawBufferPointer(rebasing: source[shift..<shift + length])
                target.baseAddress.map { key.unmask(input, into: $0 + (8 - shift)) }
                #expect(Array(target[8 - shift..<8 - shift + length]) == Array(bytes.prefix(length)))
                #expect(target[8 - shift + length] == 0xEE)
            }
        }
    }

    @Test func `a payload that comes in two pieces is unmasked as one`() {
        let bytes = (0..<90).map { UInt8($0) }
        let input = masked(bytes)
        for cut in 0...input.count {
            var key = maskKey
            var output = [UInt8](repeating: 0, count: input.count)
            output.withUnsafeMutableBytes { target in
                input.withUnsafeBytes { source in
                    guard let base = target.baseAddress else { return }
                    key.unmask(UnsafeRawBufferPointer(rebasing: source[..<cut]), into: base)
                    key.unmask(UnsafeRawBufferPointer(rebasing: source[cut...]), into: base + cut)
                }
            }
            #expect(output == bytes)
        }
    }

    @Test func `skipped bytes turn the key like unmasked ones`() {
        for skipped in 0..<9 {
            var key = maskKey
            key.skip(skipped)
            var byte: UInt8 = 0
            let input: [UInt8] = [0xF0]
            input.withUnsafeBytes { source in
                withUnsafeMutableBytes(of: &byte) { target in
                    target.baseAddress.map { key.unmask(source, into: $0) }
                }
            }
            #expect(byte == 0xF0 ^ self.key[skipped % 4])
        }
    }
}
