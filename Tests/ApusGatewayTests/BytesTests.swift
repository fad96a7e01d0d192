import ApusGateway
import Testing

struct BytesTests {
    @Test func `empty bytes equal each other however they were made`() {
        #expect(Bytes() == Bytes([]))
        #expect(Bytes() == Bytes(""))
        #expect(Bytes("abc")[1..<1] == Bytes())
        #expect(Bytes(copying: UnsafeRawBufferPointer(start: nil, count: 0)) == Bytes())
        #expect(Bytes().isEmpty)
        #expect(Array(Bytes()) == [])
    }

    @Test func `a slice shares the memory and keeps it alive`() {
        var whole: Bytes? = Bytes(Array(0..<100))
        let slice = whole?[10..<20]
        let inner = slice?[5..<10]
        #expect(slice?.memory.baseAddress == whole.flatMap { $0.memory.baseAddress.map { $0 + 10 } })
        whole = nil
        #expect(inner.map { Array($0) } == [15, 16, 17, 18, 19])
    }

    @Test func `dropping is clamped to the bytes`() {
        let bytes: Bytes = "hello"
        #expect(bytes.dropFirst(2) == "llo")
        #expect(bytes.dropFirst(0) == "hello")
        #expect(bytes.dropFirst(5).isEmpty)
        #expect(bytes.dropFirst(6).isEmpty)
        #expect(bytes.dropFirst(-1) == "hello")
    }

    @Test func `equal bytes have equal hashes, different ones differ`() {
        #expect(Set<Bytes>(["a", "b", "a", Bytes("xab")[1..<2]]) == ["a", "b"])
        #expect(Bytes("ab") != "ac")
        #expect(Bytes("ab") != "abc")
    }

    @Test func `bytes come from any sequence and from text`() {
        #expect(Bytes((0..<3).lazy.map { UInt8($0) }) == Bytes([0, 1, 2]))
        #expect(Array(Bytes("ä")) == [0xC3, 0xA4])
        #expect(Bytes("ä").description == "ä")
        #expect(Bytes([0xFF]).description == "\u{FFFD}")
    }

    @Test func `pieces are joined in order`() {
        #expect(Bytes(joining: ["ab", Bytes(), "c", "def"], count: 6) == "abcdef")
        #expect(Bytes(joining: [], count: 0).isEmpty)
    }

    @Test func `memory of an owner is not copied`() {
        let owner = Bytes("owned")
        final class Box {
            let bytes: Bytes
            init(_ bytes: Bytes) { self.bytes = bytes }
        }
        let bytes = Bytes(owner: Box(owner), memory: owner.memory)
        #expect(bytes.memory.baseAddress == owner.memory.baseAddress)
        #expect(bytes == "owned")
    }

    @Test func `a fill that fails throws`() {
        struct Failure: Error {}
        #expect(throws: Failure.self) { try Bytes(count: 3) { _ in throw Failure() } }
    }
}
