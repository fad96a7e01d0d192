import Apus
import ApusGateway
import Foundation
import Testing

@Suite("Responses on the wire", .timeLimit(.minutes(5)))
struct ResponseTests {
    // MARK: Length

    @Test func `a body in one piece has its length`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody("Hello"))
        }
        #expect(response["content-length"] == "5")
        #expect(response["transfer-encoding"] == nil)
        #expect(response.body == "Hello")
    }

    @Test func `an empty body has the length 0`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody(""))
        }
        #expect(response["content-length"] == "0")
        #expect(response["transfer-encoding"] == nil)
    }

    @Test func `a body in several pieces is chunked`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody("Hel", more: true))
            try await send(.responseBody("", more: true))
            try await send(.responseBody("lo"))
        }
        #expect(response["content-length"] == nil)
        #expect(response.chunks == [3, 2, 0])
        #expect(response.body == "Hello")
    }

    @Test func `a declared length is kept for a body in pieces`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200, headers: ["content-length": "5"]))
            try await send(.responseBody("Hel", more: true))
            try await send(.responseBody("lo"))
        }
        #expect(response[all: "content-length"] == ["5"])
        #expect(response["transfer-encoding"] == nil)
        #expect(response.body == "Hello")
    }

    @Test func `the head goes out before a body that keeps the client waiting`() async throws {
        let gate = Gate()
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: 200))
            await gate.wait()
            try await send(.responseBody("late"))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            let head = try await client.take(15)
            #expect(String(decoding: head, as: UTF8.self) == "HTTP/1.1 200 OK")
            gate.open()
            let rest = String(decoding: try await client.rest(), as: UTF8.self)
            #expect(rest.hasSuffix("\r\n\r\nlate"))
        }
    }

    // MARK: Without a body

    @Test("A response to HEAD has the fields and not the body", arguments: [true, false])
    func head(_ inPieces: Bool) async throws {
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: 200))
            if inPieces { try await send(.responseBody("Hel", more: true)) }
            try await send(.responseBody("lo"))
        }) { fixture in
            let client = try fixture.client()
            for _ in 0..<2 {
                // The second answer is read from the same connection: a body would stand in its way.
                try await client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n")
                let response = try await client.response(isHead: true)
                #expect(response.status == 200)
                #expect(response["content-length"] == (inPieces ? nil : "2"))
            }
        }
    }

    @Test func `a response to HEAD without any body says no length`() async throws {
        let response = try await answer(method: "HEAD") { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody(""))
        }
        // RFC 9110 §8.6: 0 would have to be the length of the answer to GET, which nobody knows.
        #expect(response["content-length"] == nil)
    }

    @Test("204 and 304 have no body", arguments: [204, 304])
    func noBody(_ status: Int) async throws {
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: status, headers: status == 204 ? ["content-length": "4"] : [:]))
            try await send(.responseBody("body"))
        }) { fixture in
            let client = try fixture.client()
            for _ in 0..<2 {
                try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
                let response = try await client.response()
                #expect(response.status == status)
                // RFC 9110 §8.6: no length in a 204, and in a 304 only that of the answer that it stands for.
                #expect(response["content-length"] == nil)
                #expect(response["transfer-encoding"] == nil)
            }
        }
    }

    @Test func `a 304 keeps the length that the application gives`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 304, headers: ["content-length": "1234"]))
            try await send(.responseBody(""))
        }
        #expect(response["content-length"] == "1234")
    }

    // MARK: Fields

    @Test func `fields of one hop are left out`() async throws {
        let application: TestApplication = { _, _, send in
            let headers: Headers = [
                "Transfer-Encoding": "gzip", "keep-alive": "timeout=5", "proxy-connection": "x", "upgrade": "h2c",
                "connection": "x-hop", "x-kept": "1",
            ]
            try await send(.responseStart(status: 200, headers: headers))
            try await send(.responseBody("whole"))
        }
        try await withServer(application: application) { fixture in
            let response = try await fixture.get()
            let names = response.fields.map { $0.name.lowercased() }
            #expect(names == ["x-kept", "content-length", "date", "server"])
            let http2 = try await fixture.curl("--http2-prior-knowledge", "-i")
            #expect(http2.exitCode == 0)
            for name in ["transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "connection"] {
                #expect(!http2.text.contains(name + ":"))
            }
        }
    }

    @Test func `an application can close an HTTP/1 connection, and has no say on HTTP/2`() async throws {
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: 200, headers: ["connection": "close"]))
            try await send(.responseBody("whole"))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await client.response()["connection"] == "close")
            #expect(try await client.rest().isEmpty)
            let http2 = try await fixture.curl("--http2-prior-knowledge", "-i")
            #expect(http2.exitCode == 0)
            #expect(!http2.text.contains("connection:"))
        }
    }

    @Test func `the application's own date and server win`() async throws {
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200, headers: ["Date": "today", "server": "mine"]))
            try await send(.responseBody(""))
        }
        #expect(response["Date"] == "today")
        #expect(response["server"] == "mine")
        #expect(response.fields.filter { ["date", "server"].contains($0.name.lowercased()) }.count == 2)
    }

    @Test func `date and server can be left out`() async throws {
        let response = try await answer {
            $0.dateHeader = false
            $0.serverHeader = false
        } by: { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody(""))
        }
        #expect(response.fields.map { $0.name } == ["content-length"])
    }

    @Test func `fields keep their order, and several of one name survive`() async throws {
        let response = try await answer { _, _, send in
            let headers: Headers = ["set-cookie": "a=1", "x-between": "", "set-cookie": "b=2"]
            try await send(.responseStart(status: 200, headers: headers))
            try await send(.responseBody(""))
        }
        #expect(response.fields.prefix(3).map { $0.value } == ["a=1", "", "b=2"])
    }

    // MARK: Trailers and hints

    @Test func `trailers go out to a client that takes them`() async throws {
        let application: TestApplication = { _, _, send in
            try await send(.responseStart(status: 200, trailers: true))
            try await send(.responseBody("whole"))
            try await send(.responseTrailers(["x-sum": "1"]))
        }
        try await withServer(application: application) { fixture in
            for te in ["te: trailers\r\n", "te: trailers, deflate\r\n", "te: deflate, Trailers\r\n"] {
                let with = try await fixture.get(headers: te)
                #expect(with.body == "whole")
                #expect(with.trailers == ["x-sum: 1"])
            }
            let without = try await fixture.get()
            #expect(without.body == "whole")
            #expect(without["content-length"] == "5")
            #expect(without.trailers.isEmpty)
            let head = try await fixture.get(headers: "te: trailers\r\n", method: "HEAD")
            #expect(head.status == 200)
        }
    }

    @Test func `early hints come before the response, but not over HTTP/1.0`() async throws {
        try await withServer(application: { _, _, send in
            try await send(.earlyHint(links: ["</a.css>; rel=preload", "</b.js>; rel=preload"]))
            try await send(.earlyHint(links: ["</c.js>; rel=preload"]))
            try await send(.responseStart(status: 200))
            try await send(.responseBody("whole"))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            let first = try await client.response()
            #expect(first.status == 103)
            #expect(first[all: "link"] == ["</a.css>; rel=preload", "</b.js>; rel=preload"])
            #expect(try await client.response().status == 103)
            #expect(try await client.response().body == "whole")
            let old = try fixture.client()
            try await old.send("GET / HTTP/1.0\r\n\r\n")
            #expect(try await old.response().status == 200)
        }
    }

    // MARK: Files

    @Test func `a file is sent whole`() async throws {
        let tree = try FileTree()
        let content = String(repeating: "0123456789abcdef", count: 100_000)
        try tree.add("large.txt", content)
        try tree.add("empty.txt", "")
        let application: TestApplication = { scope, _, send in
            guard case .http(let request) = scope else { return }
            try await send(.responseStart(status: 200))
            try await send(.pathSend(path: tree.root + request.path))
        }
        try await withServer(application: application) { fixture in
            let response = try await fixture.get("/large.txt")
            #expect(response["content-length"] == "1600000")
            #expect(response.body == content)
            let head = try await fixture.get("/large.txt", method: "HEAD")
            #expect(head["content-length"] == "1600000")
            let empty = try await fixture.get("/empty.txt")
            #expect(empty["content-length"] == "0")
            let http2 = try await fixture.curl("--http2-prior-knowledge", target: "/large.txt")
            #expect(http2.text == content)
        }
        try await withServer({ $0.tls = try? TestCertificate.shared() }, application: application) { fixture in
            for version in ["--http1.1", "--http2"] {
                let result = try await fixture.curl(version, target: "/large.txt")
                #expect(result.exitCode == 0)
                #expect(result.text == content)
            }
        }
    }

    @Test func `trailers follow a file`() async throws {
        let tree = try FileTree()
        try tree.add("file.txt", "content")
        let response = try await answer(to: "te: trailers\r\n") { _, _, send in
            try await send(.responseStart(status: 200, trailers: true))
            try await send(.pathSend(path: tree.root + "/file.txt"))
            try await send(.responseTrailers(["x-sum": "1"]))
        }
        #expect(response.body == "content")
        #expect(response.trailers == ["x-sum: 1"])
    }

    // MARK: Alt-Svc

    @Test func `Alt-Svc is said over TLS beside HTTP/3, unless the application has its own`() async throws {
        let application: TestApplication = { scope, _, send in
            guard case .http(let request) = scope else { return }
            try await send(
                .responseStart(status: 200, headers: request.path == "/own" ? ["alt-svc": "clear"] : [:])
            )
            try await send(.responseBody(""))
        }
        let secure: (inout Configuration) -> Void = {
            $0.tls = try? TestCertificate.shared()
            $0.insecureBinds = [.address(host: "127.0.0.1", port: 0)]
        }
        try await withServer(secure, application: application) { fixture in
            let said = try await fixture.curl("-i").text
            #expect(said.contains("alt-svc: h3=\":\(fixture.port)\"; ma=86400"))
            let own = try await fixture.curl("-i", target: "/own").text
            #expect(own.contains("alt-svc: clear"))
            #expect(!own.contains("h3="))
            let plain = try #require(fixture.listeners.first { !$0.isSecure }?.address.port)
            let client = try RawClient(port: plain)
            try await client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n")
            #expect(try await client.response()["alt-svc"] == nil)
        }
        try await withServer(
            {
                secure(&$0)
                $0.protocols = [.http1, .http2]
            },
            application: application
        ) { fixture in
            let said = try await fixture.curl("-i").text
            #expect(said.contains("200"))
            #expect(!said.contains("alt-svc"))
        }
        try await withServer(
            {
                secure(&$0)
                $0.altSvcPort = 443
            },
            application: application
        ) { fixture async throws in
            #expect(try await fixture.curl("-i").text.contains("alt-svc: h3=\":443\""))
        }
    }
}
