import Apus
import ApusGateway
import Foundation
import Testing

/// An event that the contract does not allow, between others that it does.
struct WrongEvent: Sendable, CustomTestStringConvertible {
    let testDescription: String
    var before: [SendEvent] = []
    let wrong: SendEvent
    let after: [SendEvent]

    init(_ name: String, before: [SendEvent] = [], _ wrong: SendEvent, after: [SendEvent]) {
        testDescription = name
        self.before = before
        self.wrong = wrong
        self.after = after
    }

    private static let start = SendEvent.responseStart(status: 200)
    private static let startWithTrailers = SendEvent.responseStart(status: 200, trailers: true)
    private static let startOfFive = SendEvent.responseStart(status: 200, headers: ["content-length": "5"])
    private static let body = SendEvent.responseBody("whole")
    private static let trailers = SendEvent.responseTrailers(["x-end": "1"])

    static let beforeStart = [
        WrongEvent("a body before the start", body, after: [start, body]),
        WrongEvent("trailers before the start", trailers, after: [start, body]),
        WrongEvent("a file before the start", .pathSend(path: "/etc/hostname"), after: [start, body]),
        WrongEvent("a lifespan event", .startupComplete, after: [start, body]),
        WrongEvent("a status of three digits too few", .responseStart(status: 99), after: [start, body]),
        WrongEvent("an informational status", .responseStart(status: 103), after: [start, body]),
        WrongEvent("a status of four digits", .responseStart(status: 1000), after: [start, body]),
        WrongEvent("a negative status", .responseStart(status: -200), after: [start, body]),
        WrongEvent(
            "a name that is no token",
            .responseStart(status: 200, headers: ["x y": "1"]),
            after: [start, body]
        ),
        WrongEvent("an empty name", .responseStart(status: 200, headers: ["": "1"]), after: [start, body]),
        WrongEvent(
            "a value with a line break",
            .responseStart(status: 200, headers: ["x": "1\r\ny: 2"]),
            after: [start, body]
        ),
        WrongEvent(
            "a content-length that is no number",
            .responseStart(status: 200, headers: ["content-length": "five"]),
            after: [start, body]
        ),
        WrongEvent(
            "two content-lengths",
            .responseStart(status: 200, headers: ["content-length": "5", "content-length": "5"]),
            after: [start, body]
        ),
        WrongEvent("an early hint with a line break", .earlyHint(links: ["a\nb"]), after: [start, body]),
    ]

    static let afterStart = [
        WrongEvent("a second start", before: [start], .responseStart(status: 500), after: [body]),
        WrongEvent("an early hint", before: [start], .earlyHint(links: ["</a>"]), after: [body]),
        WrongEvent("trailers that were not announced", before: [start], trailers, after: [body]),
        WrongEvent("trailers before the body", before: [startWithTrailers], trailers, after: [body, trailers]),
        WrongEvent("a body that is too long", before: [startOfFive], .responseBody("whole!"), after: [body]),
        WrongEvent("a body that is too short", before: [startOfFive], .responseBody("whol"), after: [body]),
        WrongEvent(
            "a piece that is too long",
            before: [startOfFive, .responseBody("who", more: true)],
            .responseBody("lex", more: true),
            after: [.responseBody("le")]
        ),
        WrongEvent(
            "a file beside a body",
            before: [start, .responseBody("who", more: true)],
            .pathSend(path: "/etc/hostname"),
            after: [.responseBody("le")]
        ),
        WrongEvent("a missing file", before: [start], .pathSend(path: "/nowhere/at/all"), after: [body]),
        WrongEvent("a directory as a file", before: [start], .pathSend(path: "/etc"), after: [body]),
        WrongEvent("a body after the last", before: [startWithTrailers, body], body, after: [trailers]),
        WrongEvent(
            "trailers that frame",
            before: [startWithTrailers, body],
            .responseTrailers(["content-length": "5"]),
            after: [trailers]
        ),
    ]
}

@Suite("The order of what an application sends", .timeLimit(.minutes(5)))
struct ResponseOrderTests {
    @Test("An event out of order throws and leaves the response whole", arguments: WrongEvent.beforeStart)
    func wrongBeforeStart(_ event: WrongEvent) async throws {
        try await expectHarmless(event)
    }

    @Test("An event out of order throws and leaves the response whole", arguments: WrongEvent.afterStart)
    func wrongAfterStart(_ event: WrongEvent) async throws {
        try await expectHarmless(event)
    }

    private func expectHarmless(_ event: WrongEvent) async throws {
        let thrown = Mailbox<String>()
        let response = try await answer(to: "te: trailers\r\n") { _, _, send in
            for event in event.before { try await send(event) }
            do {
                try await send(event.wrong)
                thrown.put("nothing")
            } catch let error as ContractViolation {
                thrown.put(error.description.isEmpty ? "nothing said" : "ContractViolation")
            } catch {
                thrown.put("\(error)")
            }
            for event in event.after { try await send(event) }
        }
        #expect(try await thrown.next() == "ContractViolation")
        #expect(response.status == 200)
        #expect(response.body == "whole")
    }

    @Test func `what comes after the end is ignored`() async throws {
        let outcome = Mailbox<String>()
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody("whole"))
            do {
                try await send(.responseBody("more"))
                try await send(.responseStart(status: 500))
                try await send(.responseTrailers([:]))
                try await send(.pathSend(path: "/nowhere"))
                try await send(.earlyHint(links: []))
                outcome.put("ignored")
            } catch {
                outcome.put("\(error)")
            }
        }
        #expect(try await outcome.next() == "ignored")
        #expect(response.body == "whole")
    }

    @Test func `another file is served after a missing one`() async throws {
        let tree = try FileTree()
        try tree.add("there.txt", "there")
        let response = try await answer { _, _, send in
            try await send(.responseStart(status: 200))
            await #expect(throws: ContractViolation.self) { try await send(.pathSend(path: tree.root + "/nowhere")) }
            try await send(.pathSend(path: tree.root + "/there.txt"))
        }
        #expect(response.body == "there")
    }

    @Test func `an application that throws at once is answered with 500`() async throws {
        let response = try await answer { _, _, _ in throw ContractViolation("a secret of the application's") }
        #expect(response.status == 500)
        #expect(!response.body.contains("secret"))
    }

    @Test func `an application that returns without an answer is answered with 500`() async throws {
        #expect(try await answer { _, _, _ in }.status == 500)
    }

    @Test func `the server goes on after an application that fails`() async throws {
        try await withServer(application: { scope, _, send in
            guard case .http(let request) = scope else { return }
            try await send(.responseStart(status: 200))
            if request.path == "/bad" { throw ContractViolation("no") }
            try await send(.responseBody("good"))
        }) { fixture async throws in
            await #expect(throws: (any Error).self) { try await fixture.get("/bad") }
            #expect(try await fixture.get("/good").body == "good")
        }
    }

    @Test func `a response that is cut short is reset, never ended`() async throws {
        try await withServer(application: { _, _, send in
            try await send(.responseStart(status: 200))
            try await send(.responseBody("half", more: true))
        }) { fixture in
            let client = try fixture.client()
            try await client.send("GET / HTTP/1.0\r\n\r\n")
            // The body of an HTTP/1.0 response ends with the connection: a FIN would make it whole.
            await #expect(throws: RawClient.Failure.self) { try await client.rest() }
            let http2 = try await fixture.curl("--http2-prior-knowledge")
            #expect(http2.exitCode == 92)
        }
    }
}
