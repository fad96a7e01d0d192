import ApusGateway
import ApusHTTP
import Testing

struct HeadLimitTests {
    /// Sends a message whole and byte by byte; the statuses must agree. Empty where it was taken.
    private func status(_ message: String, _ limits: Limits) -> String {
        let whole = Driver(limits)
        whole.receive(message)
        let pieces = Driver(limits)
        for byte in message.utf8 { pieces.receive([byte]) }
        #expect(whole.text == pieces.text)
        #expect(whole.requests.count == pieces.requests.count)
        #expect(whole.requests.count == (whole.status.isEmpty ? 1 : 0))
        return whole.status
    }

    @Test func `the request line has a limit`() {
        var limits = Limits()
        limits.maxRequestLineSize = 100
        // The line without its CRLF: "GET " + target + " HTTP/1.1".
        func line(_ size: Int) -> String {
            "GET /\(String(repeating: "x", count: size - 14)) HTTP/1.1\r\nHost: a\r\n\r\n"
        }
        #expect(status(line(100), limits) == "")
        #expect(status(line(101), limits) == "414")
        #expect(status(line(102), limits) == "414")
        #expect(status(line(1000), limits) == "414")
        #expect(status(String(repeating: "G", count: 200), limits) == "414")
    }

    @Test func `the fields of a head have a limit of size`() {
        var limits = Limits()
        limits.maxFieldSectionSize = 200
        // "host" + "a" + 32 and "x" + value + 32.
        func head(_ valueCount: Int) -> String {
            "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "v", count: valueCount))\r\n\r\n"
        }
        #expect(status(head(200 - 37 - 33), limits) == "")
        #expect(status(head(200 - 37 - 32), limits) == "431")
        #expect(status(head(500), limits) == "431")
    }

    @Test func `white space does not escape the limit of size`() {
        var limits = Limits()
        limits.maxFieldSectionSize = 200
        let blanks = String(repeating: " ", count: 300)
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\nX:\(blanks)v\r\n\r\n", limits) == "431")
        #expect(status("GET / HTTP/1.1\r\nHost: a\r\nX: v\(blanks)", limits) == "431")
    }

    @Test func `the fields of a head have a limit of number`() {
        var limits = Limits()
        for most in [3, 64, 65, 100] {
            limits.maxFieldCount = most
            func head(_ count: Int) -> String {
                "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "x: y\r\n", count: count - 1) + "\r\n"
            }
            #expect(status(head(most), limits) == "")
            #expect(status(head(most + 1), limits) == "431")
        }
    }

    @Test func `limits may be as large or as small as a number can be`() {
        for value in [Int.max, 0, -1, Int.min] {
            var limits = Limits()
            limits.maxRequestLineSize = value
            limits.maxFieldSectionSize = value
            limits.maxFieldCount = value
            limits.maxChunkExtensionsSize = value
            limits.maxDrainedBodySize = value
            let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
            #expect(
                status(head + (1...70).map { "X\($0): y\r\n" }.joined() + "Host: a\r\n\r\n", limits)
                    == (value > 0 ? "" : "414")
            )
        }
    }

    @Test func `300 fields arrive in order`() {
        let driver = Driver()
        driver.receive("GET / HTTP/1.1\r\n" + (1..<300).map { "X-\($0): \($0)\r\n" }.joined() + "Host: a\r\n\r\n")
        let headers = driver.requests[0].1.headers
        #expect(headers.count == 300)
        #expect(headers.first { _ in true }?.name == "host")
        #expect(headers.dropFirst().map(\.value) == (1..<300).map { String($0) })
    }

    @Test func `trailers have the limits of a head`() {
        var limits = Limits()
        limits.maxFieldCount = 3
        limits.maxFieldSectionSize = 200
        let upload = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        for (trailers, expected) in [
            ("A: b\r\nA: b\r\nA: b\r\n\r\n", ""), ("A: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", "431"),
            ("A: \(String(repeating: "x", count: 167))\r\n\r\n", ""),
            ("A: \(String(repeating: "x", count: 168))\r\n\r\n", "431"),
        ] {
            let driver = Driver(limits)
            for byte in (upload + trailers).utf8 { driver.receive([byte]) }
            #expect(driver.status == expected)
            #expect(driver.ends.count == (expected.isEmpty ? 1 : 0))
        }
    }

    @Test func `chunk extensions have a limit over the whole body`() {
        var limits = Limits()
        limits.maxChunkExtensionsSize = 10
        let upload = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;abc\r\nx\r\n"
        // The CR that ends an extension counts, the semicolon does not.
        for (chunk, expected) in [("1;abcde\r\nx\r\n", ""), ("1;abcdef\r\nx\r\n", "400")] {
            let driver = Driver(limits)
            driver.receive(upload + chunk)
            #expect(driver.status == expected)
        }
    }
}
