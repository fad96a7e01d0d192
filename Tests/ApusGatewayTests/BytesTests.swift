import ApusGateway
import Testing

struct BytesTests {
    @Test func `empty bytes equal each other however they were made`() {
        #expect(Bytes() == Bytes([]))
        #expect(Bytes() == Bytes(""))
        #expect(Bytes("abc")[1..<1] == Bytes())
        #expect(Bytes().isEmpty)
    }
}
