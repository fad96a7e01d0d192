import Testing

@testable import ApusCommand

struct JSONParserTests {
    @Test(arguments: [
        "null", "true", "false", "0", "-1", "9223372036854775807", "\"\"", "\"a\\\"b\\\\c\\n\"", "\"ü🦉\"", "[]", "{}",
        "[1, [2, \"3\"], {}]", "{\"a\": {\"b\": [null, true]}, \"c\": -5}",
    ])
    func `what was written is read, and written again`(text: String) {
        #expect(JSONParser.parse(text)?.text == text)
    }

    @Test(arguments: [
        (" \t\r\n{ \"a\" :1 ,\"b\":[ 1,2 ] } ", "{\"a\": 1, \"b\": [1, 2]}"), ("-0", "0"),
        ("\"\\u0041\\u00fc\\u20AC\\/\\b\\f\"", "\"Aü€/\\u0008\\u000c\""), ("\"\\ud83e\\udd89\"", "\"🦉\""),
        ("\"\\u0000\"", "\"\\u0000\""),
    ])
    func `there are several ways to write the same`(text: String, canonical: String) {
        #expect(JSONParser.parse(text)?.text == canonical)
    }

    @Test(arguments: [
        "", " ", "nul", "nulll", "True", "01", "-", "-01", "+1", "1.5", "1e3", "9223372036854775808", "\"", "\"a",
        "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u123g\"", "\"\\ud83e\"", "\"\\ud83ex\"", "\"\\ud83e\\u0041\"",
        "\"\\udd89\"", "\"\n\"", "'a'", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1",
        "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "1 2", "[] []", "]", "}",
    ])
    func `what is no JSON is refused`(text: String) {
        #expect(JSONParser.parse(text) == nil)
    }

    @Test func `every beginning of a text is refused without harm`() {
        let text = "{\"a\": [\"\\ud83e\\udd89\", -12, true, {\"b\": null}]}"
        for count in 0..<text.count { #expect(JSONParser.parse(String(text.prefix(count))) == nil) }
        #expect(JSONParser.parse(text) != nil)
    }

    @Test func `nesting has a bound`() {
        func nested(_ depth: Int) -> String {
            String(repeating: "[{\"a\":", count: depth / 2) + "1" + String(repeating: "}]", count: depth / 2)
        }
        #expect(JSONParser.parse(nested(JSONParser.maxDepth)) != nil)
        #expect(JSONParser.parse("[" + nested(JSONParser.maxDepth) + "]") == nil)
        #expect(JSONParser.parse(String(repeating: "[", count: 1_000_000)) == nil)
    }

    @Test func `of members with one name the last one counts`() {
        let value = JSONParser.parse("{\"a\": 1, \"a\": 2}")
        #expect(value?["a"]?.text == "2")
        #expect(value?["b"] == nil && JSONParser.parse("[1]")?["a"] == nil)
    }
}
