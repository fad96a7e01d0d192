import ApusGateway

/// What an application must not do, or may do although it is odd; the server's answers are the same on every protocol.
extension Exchange {
    struct Failure: Error {}

    func misbehave(_ how: String) async throws {
        switch how {
        case "raises-before-start": throw Failure()
        case "raises-after-start": try await raiseAfterStart()
        case "returns-without-answering": return
        case "returns-with-the-body-unfinished": try await startOnly()
        case "sends-the-body-first": try await expectViolation { try await send(.responseBody("too early")) }
        case "starts-twice": try await startTwice()
        case "sends-after-the-end": try await sendAfterEnd()
        case "body-too-long": try await body(of: 10, declared: 5)
        case "body-too-short": try await body(of: 5, declared: 10)
        case "never-reads": try await answer("unread\n")
        case "reads-after-disconnect": try await readAfterDisconnect()
        case "awaits-something-else": try await awaitSomethingElse()
        case "ignores-its-end": try await ignoreEnd()
        case "spins-on-receive": try await spinOnReceive()
        case "hops-to-the-main-actor": try await hopToMainActor()
        case "sends-from-several-tasks": try await sendFromSeveralTasks()
        default: try await answer("no such misbehaviour\n", status: 404)
        }
    }

    private func startOnly() async throws {
        try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"]))
        try await send(.responseBody("the beginning\n", more: true))
    }

    private func raiseAfterStart() async throws {
        try await startOnly()
        throw Failure()
    }

    /// The event must throw, and leave the response as it was: it can still be sent.
    private func expectViolation(_ attempt: () async throws -> Void) async throws {
        do {
            try await attempt()
            try await answer("nothing was thrown\n")
        } catch is ContractViolation {
            try await answer("a contract violation\n")
        }
    }

    private func startTwice() async throws {
        try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"]))
        do {
            try await send(.responseStart(status: 404))
            try await send(.responseBody("nothing was thrown\n"))
        } catch is ContractViolation {
            try await send(.responseBody("a contract violation\n"))
        }
    }

    private func sendAfterEnd() async throws {
        try await answer("the end\n")
        do {
            try await send(.responseBody("more"))
            try await send(.responseStart(status: 500))
            Endings.shared.note(parameter("id") ?? "-", "ignored")
        } catch {
            Endings.shared.note(parameter("id") ?? "-", "threw")
        }
    }

    private func body(of count: Int, declared: Int) async throws {
        try await send(.responseStart(status: 200, headers: ["content-length": String(declared)]))
        try await send(.responseBody(Bytes(String(repeating: "x", count: count))))
    }

    /// After the client has left there is only the disconnect, as often as it is asked for; and sends throw.
    private func readAfterDisconnect() async throws {
        try await startOnly()
        var endings: [String] = []
        while endings.count < 3 {
            if case .disconnect = try await receive() { endings.append("disconnect") }
        }
        do {
            try await send(.responseBody("late", more: true))
            endings.append("sent")
        } catch is ClientDisconnected {
            endings.append("threw")
        }
        Endings.shared.note(parameter("id") ?? "-", endings.joined(separator: ","))
    }

    /// Its task is cancelled when the client leaves.
    private func awaitSomethingElse() async throws {
        do {
            try await Task.sleep(for: .seconds(600))
        } catch is CancellationError {
            Endings.shared.note(parameter("id") ?? "-", "cancelled")
            throw CancellationError()
        }
    }

    /// Goes on for a minute, whatever becomes of its client and its task.
    private func ignoreEnd() async throws {
        try await startOnly()
        for _ in 0..<600 {
            await Task.detached { try? await Task.sleep(for: .milliseconds(100)) }.value
        }
    }

    /// Asks again and again, though there is nothing any more.
    private func spinOnReceive() async throws {
        try await startOnly()
        while true { _ = try? await receive() }
    }

    private func hopToMainActor() async throws {
        try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"]))
        let text = await MainActor.run { "from the main actor\n" }
        try await send(.responseBody(Bytes(text), more: true))
        try await sendFromMainActor()
        try await send(.responseBody("and back\n"))
    }

    @MainActor
    private func sendFromMainActor() async throws {
        try await send(.responseBody("sent by the main actor\n", more: true))
    }

    private func sendFromSeveralTasks() async throws {
        try await send(.responseStart(status: 200, headers: ["content-type": "text/plain"]))
        try await withThrowingTaskGroup { group in
            for number in 0..<10 {
                group.addTask { try await send(.responseBody(Bytes("\(number)\n"), more: true)) }
            }
            try await group.waitForAll()
        }
        try await send(.responseBody("done\n"))
    }
}
