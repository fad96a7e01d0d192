import ApusGateway
import HTTPTypes
import Testing

struct HeadersTests {
    private let headers: Headers = ["Host": "a", "X-A": "1", "x-b": "", "x-a": "2"]

    @Test func `look-up ignores case and keeps order`() {
        #expect(headers["host"] == "a")
        #expect(headers["HOST"] == "a")
        #expect(headers["x-b"] == "")
        #expect(headers["x"] == nil)
        #expect(headers[all: "x-a"] == ["1", "2"])
        #expect(headers.bytes(of: "X-a") == "1")
        #expect(headers.contains("X-B") && !headers.contains("x-c"))
        #expect(headers.map(\.name) == ["Host", "X-A", "x-b", "x-a"])
    }

    @Test func `only letters have a case`() {
        #expect(Headers(dictionaryLiteral: ("a@", "1"))["A`"] == nil)
        #expect(Headers(dictionaryLiteral: ("a[", "1"))["A{"] == nil)
        #expect(asciiLowercased(UInt8(ascii: "Z")) == UInt8(ascii: "z"))
        #expect(asciiLowercased(UInt8(ascii: "@")) == UInt8(ascii: "@"))
        #expect(asciiLowercased(UInt8(ascii: "[")) == UInt8(ascii: "["))
        #expect(asciiLowercased(0xC4) == 0xC4)
    }

    @Test func `fields are removed and put in place of others`() {
        var changed = headers
        changed.remove("X-A")
        #expect(changed == ["Host": "a", "x-b": ""])
        changed.remove("missing")
        changed.set("HOST", "b")
        #expect(changed == ["x-b": "", "HOST": "b"])
        #expect(headers.count == 4)
    }

    @Test func `sections are joined`() {
        var joined: Headers = ["a": "1"]
        joined.append(contentsOf: headers)
        joined.append(contentsOf: [:])
        joined.append("z", Bytes("9"))
        #expect(joined == ["a": "1", "Host": "a", "X-A": "1", "x-b": "", "x-a": "2", "z": "9"])
    }

    @Test func `equality is byte for byte and by the borders of names and values`() {
        #expect(headers == ["Host": "a", "X-A": "1", "x-b": "", "x-a": "2"])
        #expect(headers != ["host": "a", "X-A": "1", "x-b": "", "x-a": "2"])
        #expect(Headers(dictionaryLiteral: ("ab", "c")) != ["a": "bc"])
        #expect(Headers(dictionaryLiteral: ("a", "1"), ("b", "2")) != ["b": "2", "a": "1"])
    }

    @Test func `names can be turned into lower case as they are added`() {
        var lower = Headers()
        lower.append("Before", "B")
        Array("X-Ä".utf8)
            .withUnsafeBytes { name in
                Array("Value".utf8).withUnsafeBytes { lower.append(lowercasing: name, value: $0) }
            }
        #expect(lower == ["Before": "B", "x-Ä": "Value"])
    }

    @Test func `a parser fills fields at once`() {
        let filled = Headers(fieldCount: 2, byteCount: 4) { fields, bytes in
            fields[0] = Headers.Field(start: 0, nameCount: 1, valueCount: 2)
            fields[1] = Headers.Field(start: 3, nameCount: 1, valueCount: 0)
            bytes.copyBytes(from: "abbc".utf8)
        }
        #expect(filled == ["a": "bb", "c": ""])
        #expect(Headers(fieldCount: 0, byteCount: 0) { _, _ in } == [:])
    }

    @Test func `fields are filtered by their bytes`() {
        #expect(headers.filtered { _, value in value.count > 0 }.count == 3)
        var seen = 0
        headers.forEachField { name, value in seen += name.count + value.count }
        #expect(seen == headers.byteCount)
    }

    @Test func `swift-http-types is bridged both ways`() {
        let fields = HTTPFields(headers)
        #expect(fields[.init("x-a") ?? .accept] == "1, 2")
        #expect(Headers(fields).map(\.value) == ["a", "1", "", "2"])
        #expect(HTTPFields(["not a name": "x", "ok": "y"]).count == 1)
    }

    @Test func `text has one line a field`() {
        #expect(Headers(dictionaryLiteral: ("a", "1"), ("b", "2")).description == "a: 1\nb: 2")
    }
}
