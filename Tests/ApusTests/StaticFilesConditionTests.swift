import ApusGateway
import Foundation
import Testing

@testable import Apus

/// Preconditions and ranges (RFC 9110 §13, §14).
struct StaticFilesConditionTests {
    private static let later = "Sun, 06 Nov 1994 08:49:38 GMT"
    private static let earlier = "Sun, 06 Nov 1994 08:49:36 GMT"

    /// A tree with ten digits in `/a.txt`, and the entity tag of that.
    private static func digits() async throws -> (tree: FileTree, tag: String) {
        let tree = try FileTree()
        try tree.add("a.txt", "0123456789")
        return (tree, try #require(try await tree.get("/a.txt", method: "HEAD").headers["etag"]))
    }

    // MARK: - Validators

    @Test func `the tag changes with the size and with the time`() async throws {
        let (tree, tag) = try await Self.digits()
        try tree.add("a.txt", "01234567890")
        #expect(try await tree.get("/a.txt").headers["etag"] != tag)
        try tree.add("a.txt", "0123456789", modified: FileTree.modified + 0.5)
        #expect(try await tree.get("/a.txt").headers["etag"] != tag)
        try tree.add("a.txt", "0123456789")
        #expect(try await tree.get("/a.txt").headers["etag"] == tag)
    }

    @Test func `a file that has just changed has a weak tag, one from the future no time`() async throws {
        let tree = try FileTree()
        try tree.add("new.txt", modified: Date())
        try tree.add("future.txt", modified: Date() + 3600)
        #expect(try await tree.get("/new.txt").headers["etag"]?.hasPrefix("W/\"") == true)
        let future = try await tree.get("/future.txt")
        #expect(future.headers["etag"]?.hasPrefix("W/\"") == true)
        #expect(!future.headers.contains("last-modified"))
    }

    // MARK: - If-None-Match and If-Modified-Since

    @Test func `what the client has is not sent again`() async throws {
        let (tree, tag) = try await Self.digits()
        let all = [tag, "W/" + tag, "\"x\", " + tag, "\"a,b\" ,\t" + tag, "*"]
        for value in all {
            for method in ["GET", "HEAD"] {
                let answer = try await tree.get("/a.txt", method: method, headers: ["if-none-match": value])
                #expect(answer.status == 304, "\(value)")
                #expect(answer.body.isEmpty && answer.isComplete)
                #expect(answer.headers["etag"] == tag)
                #expect(!answer.headers.contains("content-length"))
            }
        }
        let split: Headers = ["if-none-match": "\"x\"", "if-none-match": tag]
        #expect(try await tree.get("/a.txt", headers: split).status == 304)
    }

    @Test func `what the client does not have is sent`() async throws {
        let (tree, tag) = try await Self.digits()
        for value in ["\"x\"", "", tag.dropLast() + "", "x" + tag, "\"x" + tag] {
            #expect(try await tree.get("/a.txt", headers: ["if-none-match": value]).status == 200, "\(value)")
        }
    }

    @Test func `a date is enough where there is no tag`() async throws {
        let (tree, _) = try await Self.digits()
        let status = { (date: String) in
            try await tree.get("/a.txt", headers: ["if-modified-since": date]).status
        }
        #expect(try await status(FileTree.lastModified) == 304)
        #expect(try await status(Self.later) == 304)
        #expect(try await status(Self.earlier) == 200)
        #expect(try await status("Sunday, 06-Nov-94 08:49:37 GMT") == 304)
        #expect(try await status("Sun Nov  6 08:49:37 1994") == 304)
        #expect(try await status("yesterday") == 200)
    }

    @Test func `a tag that differs goes before a date that does not`() async throws {
        let (tree, _) = try await Self.digits()
        let headers: Headers = ["if-none-match": "\"x\"", "if-modified-since": FileTree.lastModified]
        #expect(try await tree.get("/a.txt", headers: headers).status == 200)
    }

    @Test func `conditions on the state that is wanted fail with 412`() async throws {
        let (tree, tag) = try await Self.digits()
        let status = { (headers: Headers) in try await tree.get("/a.txt", headers: headers).status }
        #expect(try await status(["if-match": "\"x\""]) == 412)
        #expect(try await status(["if-match": "W/" + tag]) == 412)
        #expect(try await status(["if-match": "\"x\", " + tag]) == 200)
        #expect(try await status(["if-match": "*"]) == 200)
        #expect(try await status(["if-unmodified-since": Self.earlier]) == 412)
        #expect(try await status(["if-unmodified-since": FileTree.lastModified]) == 200)
        #expect(try await status(["if-match": tag, "if-unmodified-since": Self.earlier]) == 200)
    }

    // MARK: - Ranges

    @Test(arguments: [
        ("bytes=0-0", "0", "bytes 0-0/10"), ("bytes=2-4", "234", "bytes 2-4/10"), ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=7-99999999999999999999", "789", "bytes 7-9/10"), ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=-11", "0123456789", "bytes 0-9/10"), ("BYTES= 9-9 ", "9", "bytes 9-9/10"),
    ])
    func `one range is answered with that part`(value: String, body: String, contentRange: String) async throws {
        let (tree, tag) = try await Self.digits()
        let answer = try await tree.get("/a.txt", headers: ["range": value])
        #expect(answer.status == 206)
        #expect(answer.body == body && answer.isComplete && !answer.wentByPath)
        #expect(answer.headers["content-range"] == contentRange)
        #expect(answer.headers["content-length"] == String(body.count))
        #expect(answer.headers["etag"] == tag)
    }

    @Test(arguments: ["bytes=10-", "bytes=10-11", "bytes=-0", "bytes=99999999999999999999-"])
    func `a range past the end is answered with the length that there is`(value: String) async throws {
        let (tree, _) = try await Self.digits()
        let answer = try await tree.get("/a.txt", headers: ["range": value])
        #expect(answer.status == 416)
        #expect(answer.headers["content-range"] == "bytes */10")
    }

    @Test(arguments: [
        "bytes=0-1,3-4", "lines=0-1", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=4-2", "bytes=+1-2",
        "bytes=1--2",
        "bytes 0-1",
    ])
    func `what is not one range of bytes is ignored`(value: String) async throws {
        let (tree, _) = try await Self.digits()
        let answer = try await tree.get("/a.txt", headers: ["range": value])
        #expect(answer.status == 200 && answer.body == "0123456789")
    }

    @Test func `a range of an empty file is unsatisfiable, but for its last bytes`() {
        #expect(ByteRange("bytes=0-", of: 0) == .unsatisfiable)
        #expect(ByteRange("bytes=-5", of: 0) == nil)
    }

    @Test func `HEAD has no range`() async throws {
        let (tree, _) = try await Self.digits()
        let answer = try await tree.get("/a.txt", method: "HEAD", headers: ["range": "bytes=0-1"])
        #expect(answer.status == 200 && answer.headers["content-length"] == "10")
    }

    @Test func `a range goes out in pieces`() async throws {
        let tree = try FileTree()
        try tree.add("big", String(repeating: "x", count: OpenFile.pieceSize * 2 + 2))
        let answer = try await tree.get("/big", headers: ["range": "bytes=1-"])
        #expect(answer.pieces == [OpenFile.pieceSize, OpenFile.pieceSize, 1])
        #expect(answer.isComplete)
    }

    @Test func `a file that gets shorter while it is sent ends in an error`() async throws {
        let (tree, _) = try await Self.digits()
        let name = tree.root + "/a.txt"
        await #expect(throws: OpenFile.Unreadable.self) {
            try await tree.get("/a.txt", headers: ["range": "bytes=5-"]) { #expect(truncate(name, 7) == 0) }
        }
    }

    @Test func `If-Range gives the part where nothing has changed, else the whole`() async throws {
        let (tree, tag) = try await Self.digits()
        let status = { (condition: String) in
            try await tree.get("/a.txt", headers: ["range": "bytes=0-1", "if-range": condition]).status
        }
        #expect(try await status(tag) == 206)
        #expect(try await status("\"x\"") == 200)
        #expect(try await status("W/" + tag) == 200)
        #expect(try await status(FileTree.lastModified) == 206)
        #expect(try await status(Self.later) == 200)
        #expect(try await status("nonsense") == 200)
    }

    @Test func `If-Range never holds for a weak tag`() async throws {
        let tree = try FileTree()
        try tree.add("new.txt", modified: Date())
        let tag = try #require(try await tree.get("/new.txt").headers["etag"])
        let answer = try await tree.get("/new.txt", headers: ["range": "bytes=0-1", "if-range": tag])
        #expect(answer.status == 200)
    }

    // MARK: - Dates

    @Test func `dates are written and read the same`() {
        for seconds in [0, 784_111_777, 951_782_400, 4_102_444_799, 253_402_300_799] {
            #expect(HTTPDate.text(seconds).flatMap { HTTPDate.seconds($0) } == seconds)
        }
        #expect(HTTPDate.text(784_111_777) == FileTree.lastModified)
        #expect(HTTPDate.text(253_402_300_800) == nil)
        #expect(HTTPDate.text(.max) == nil && HTTPDate.text(.min) == nil)
    }

    @Test(arguments: [
        "", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 199 08:49:37 GMT",
    ])
    func `what is not a date is none`(text: String) {
        #expect(HTTPDate.seconds(text) == nil)
    }
}
