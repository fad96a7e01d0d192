import ApusHTTP
import Testing

struct ProtocolPrefaceTests {
    private func classify(_ text: some StringProtocol) -> ProtocolPreface {
        Array(text.utf8).withUnsafeBytes { ProtocolPreface.classify($0) }
    }

    @Test func `every part of the preface leaves it open, the whole decides`() {
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        for count in 0..<24 {
            #expect(classify(String(decoding: Array(preface.utf8).prefix(count), as: UTF8.self)) == .undecided)
        }
        #expect(classify(preface) == .http2)
        #expect(classify(preface + "more") == .http2)
    }

    @Test(arguments: ["G", "PRI * HTTP/1.1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx", "PUT / HTTP/1.1\r\n", "\r\n"])
    func `anything else is HTTP/1`(_ text: String) {
        #expect(classify(text) == .http1)
    }
}
