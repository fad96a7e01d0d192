import Apus
import ApusGateway
import Foundation
import Testing

struct StaticFilesTests {
    // MARK: - What is found

    @Test func `a file goes out whole by its path, with its type and validators`() async throws {
        let tree = try FileTree()
        try tree.add("css/site.css", "body {}")
        let answer = try await tree.get("/css/site.css?v=1")
        #expect(answer.status == 200)
        #expect(answer.body == "body {}")
        #expect(answer.wentByPath && answer.isComplete)
        #expect(answer.headers["content-type"] == "text/css; charset=utf-8")
        #expect(answer.headers["last-modified"] == FileTree.lastModified)
        #expect(answer.headers["etag"]?.hasPrefix("\"") == true)
        #expect(answer.headers["accept-ranges"] == "bytes")
    }

    @Test func `HEAD has the fields of GET and the length, and no body`() async throws {
        let tree = try FileTree()
        try tree.add("a.txt", "12345")
        let answer = try await tree.get("/a.txt", method: "HEAD")
        #expect(answer.status == 200)
        #expect(answer.headers["content-length"] == "5")
        #expect(answer.headers.contains("etag"))
        #expect(answer.body.isEmpty && answer.isComplete)
    }

    @Test func `a name is percent-decoded, once`() async throws {
        let tree = try FileTree()
        try tree.add("ä b.txt", "umlaut")
        try tree.add("100%25.txt", "percent")
        #expect(try await tree.get("/%C3%A4%20b.txt").body == "umlaut")
        #expect(try await tree.get("/100%2525.txt").body == "percent")
    }

    @Test func `an empty file is whole`() async throws {
        let tree = try FileTree()
        try tree.add("empty.bin", "")
        let answer = try await tree.get("/empty.bin")
        #expect(answer.status == 200 && answer.body.isEmpty && answer.isComplete)
        #expect(answer.headers["content-type"] == "application/octet-stream")
    }

    @Test(arguments: [
        ("a.html", "text/html; charset=utf-8"), ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.wasm", "application/wasm"), ("a.WEBP", "image/webp"), ("a.avif", "image/avif"),
        ("a.tar.gz", "application/gzip"), ("a", "application/octet-stream"), ("a.unknown", "application/octet-stream"),
    ])
    func `the type follows from the end of the name`(name: String, type: String) async throws {
        let tree = try FileTree()
        try tree.add(name)
        #expect(try await tree.get("/" + name).headers["content-type"] == type)
    }

    // MARK: - Directories

    @Test func `a directory shows its index`() async throws {
        let tree = try FileTree()
        try tree.add("index.html", "root")
        try tree.add("docs/index.html", "docs")
        #expect(try await tree.get("/").body == "root")
        let docs = try await tree.get("/docs/")
        #expect(docs.body == "docs")
        #expect(docs.headers["content-type"] == "text/html; charset=utf-8")
    }

    @Test func `a directory without an index is not listed`() async throws {
        let tree = try FileTree()
        try tree.add("docs/a.txt")
        #expect(try await tree.get("/docs/").status == 404)
    }

    @Test func `an index that is a directory is none`() async throws {
        let tree = try FileTree()
        try tree.add("docs/index.html/a.txt")
        #expect(try await tree.get("/docs/").status == 404)
    }

    @Test func `a directory without its slash is redirected, query kept`() async throws {
        let tree = try FileTree()
        try tree.add("a b/index.html")
        let answer = try await tree.get("/a%20b?x=%20")
        #expect(answer.status == 301)
        #expect(answer.headers["location"] == "/a%20b/?x=%20")
    }

    @Test func `a redirect never leads to another host`() async throws {
        let tree = try FileTree()
        try tree.add("other.example/index.html")
        for target in ["//other.example", "///other.example", "/%2F/other.example"] {
            let answer = try await tree.get(target)
            #expect(answer.headers["location"] == (answer.status == 301 ? "/other.example/" : nil))
        }
    }

    @Test func `a file with a slash behind it is not found`() async throws {
        let tree = try FileTree()
        try tree.add("a.txt")
        #expect(try await tree.get("/a.txt/").status == 404)
    }

    // MARK: - Mounted below a path

    @Test func `the path of the mount is taken off, and kept in redirects`() async throws {
        let tree = try FileTree()
        try tree.add("docs/a.txt", "mounted")
        #expect(try await tree.get("/static/docs/a.txt", rootPath: "/static").body == "mounted")
        #expect(try await tree.get("/static/docs", rootPath: "/static").headers["location"] == "/static/docs/")
        #expect(try await tree.get("/static", rootPath: "/static").headers["location"] == "/static/")
    }

    @Test func `a path that a proxy has taken the mount off is served, and redirected to where it is seen`()
        async throws
    {
        let tree = try FileTree()
        try tree.add("docs/a.txt", "mounted")
        #expect(try await tree.get("/docs/a.txt", rootPath: "/static").body == "mounted")
        #expect(try await tree.get("/docs", rootPath: "/static").headers["location"] == "/static/docs/")
    }

    @Test func `the mount is compared by whole names`() async throws {
        let tree = try FileTree()
        try tree.add("static2/a.txt", "other")
        #expect(try await tree.get("/static2/a.txt", rootPath: "/static").body == "other")
    }

    // MARK: - What is not served

    @Test(arguments: [
        "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/a/../../secret.txt",
        "/a/%2E%2E/%2E%2E/secret.txt",
        "/..\\secret.txt", "/..%5Csecret.txt", "/a%5C..%5C..%5Csecret.txt", "/%00", "/a.txt%00.html", "/a%2Ftext.txt",
        "/.env", "/a/.git/config", "/.", "/..", "/a/..", "/a/.", "/%2e", "/a%", "/a%2", "/a%zz", "", "*", "a.txt",
        "/well/.well-known/x", "/.well-known/.x",
    ])
    func `a path that plays tricks is not found`(target: String) async throws {
        let tree = try FileTree()
        for path in [
            ".env", "a/.git/config", "a/text.txt", "a.txt", "a%", "a%2", "a%zz", "well/.well-known/x", ".well-known/.x",
            "..\\secret.txt",
        ] {
            try tree.add(path)
        }
        let answer = try await tree.get(target)
        #expect(answer.status == 404)
        #expect(answer.body == "404 Not Found\n")
    }

    @Test func `well-known locations are served though they begin with a dot`() async throws {
        let tree = try FileTree()
        try tree.add(".well-known/acme-challenge/token", "answer")
        #expect(try await tree.get("/.well-known/acme-challenge/token").body == "answer")
    }

    @Test func `no symbolic link is followed, wherever it leads`() async throws {
        let tree = try FileTree()
        try tree.add("dir/a.txt")
        try tree.link("absolute.txt", to: tree.base + "/secret.txt")
        try tree.link("relative.txt", to: "../secret.txt")
        try tree.link("up", to: "..")
        try tree.link("inside", to: "dir")
        try tree.link("loop", to: "loop")
        for target in [
            "/absolute.txt", "/relative.txt", "/up/secret.txt", "/up/", "/up", "/inside/a.txt", "/loop", "/loop/a",
        ] {
            #expect(try await tree.get(target).status == 404, "\(target)")
        }
    }

    @Test func `the root itself may be a link`() async throws {
        let tree = try FileTree()
        try tree.add("a.txt", "linked")
        let link = tree.base + "/current"
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: tree.root)
        let channel = RecordingChannel(afterStart: {})
        let scope = Scope.http(HTTPScope(target: "/a.txt"))
        try await StaticFiles(root: link)(scope, Receive(channel), Send(channel))
        #expect(channel.answer.body == "linked")
    }

    @Test func `what is sent is the file that was opened, whatever becomes of its name`() async throws {
        let tree = try FileTree()
        try tree.add("a.txt", "checked")
        let name = tree.root + "/a.txt"
        let secret = tree.base + "/secret.txt"
        let answer = try await tree.get("/a.txt") {
            try FileManager.default.removeItem(atPath: name)
            try FileManager.default.createSymbolicLink(atPath: name, withDestinationPath: secret)
        }
        #expect(answer.body == "checked")
    }

    @Test func `a pipe is not found, and does not hold the server up`() async throws {
        let tree = try FileTree()
        #expect(mkfifo(tree.root + "/pipe", 0o600) == 0)
        #expect(try await tree.get("/pipe").status == 404)
    }

    @Test func `names longer than a file system's are not found`() async throws {
        let tree = try FileTree()
        #expect(try await tree.get("/" + String(repeating: "a", count: 256)).status == 404)
        #expect(try await tree.get(String(repeating: "/a", count: 4000)).status == 404)
    }

    @Test(arguments: ["POST", "PUT", "DELETE", "OPTIONS", "get"])
    func `other methods are told which are allowed`(method: String) async throws {
        let tree = try FileTree()
        try tree.add("a.txt")
        let answer = try await tree.get("/a.txt", method: method)
        #expect(answer.status == 405)
        #expect(answer.headers["allow"] == "GET, HEAD")
    }

    @Test func `a root that is not a directory is refused at the start`() throws {
        let tree = try FileTree()
        try tree.add("a.txt")
        #expect(throws: ConfigurationError.self) { try StaticFiles(root: tree.root + "/a.txt") }
        #expect(throws: ConfigurationError.self) { try StaticFiles(root: tree.root + "/none") }
    }

    @Test func `a lifespan is not taken part in`() async throws {
        let tree = try FileTree()
        let channel = RecordingChannel(afterStart: {})
        try await StaticFiles(root: tree.root)(.lifespan(LifespanScope()), Receive(channel), Send(channel))
        #expect(channel.answer.status == 0)
    }
}
