import ApusHTTP
import Glibc
import Testing

@testable import ApusCommand

/// Each in a process of its own, whose standard error it is.
@Suite(.timeLimit(.minutes(5)))
struct StandardErrorTests {
    @Test func `a pipe that nobody reads costs a line and a moment, and the next line not even that`() async {
        await #expect(processExitsWith: .success) {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            try #require(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO)
            let line = String(repeating: "x", count: 1000)
            for _ in 0..<200 { StandardError.writeLine(line) }
            let began = ContinuousClock.now
            for _ in 0..<200 { StandardError.writeLine(line) }
            try #require(.now - began < .milliseconds(200))
            // Whole lines, as many as there was room for; then somebody reads, and there is room again.
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = read(ends[0], &bytes, bytes.count)
            try #require(count > 4096 && count % 1001 == 0)
            StandardError.writeLine("again")
            try #require(read(ends[0], &bytes, bytes.count) == 6)
        }
    }

    @Test func `a reader who comes in time loses nothing`() async {
        await #expect(processExitsWith: .success) {
            var ends: [Int32] = [-1, -1]
            try #require(pipe(&ends) == 0)
            try #require(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO)
            close(ends[1])
            let output = ends[0]
            let reader = Task.detached {
                var (bytes, total) = ([UInt8](repeating: 0, count: 4096), 0)
                while total < 300_000 { total += read(output, &bytes, bytes.count) }
                return total
            }
            for _ in 0..<300 { StandardError.writeLine(String(repeating: "x", count: 999)) }
            let total = await reader.value
            try #require(total == 300_000)
        }
    }

    @Test func `a file gets everything`() async {
        await #expect(processExitsWith: .success) {
            let file = try #require(tmpfile())
            try #require(dup2(fileno(file), STDERR_FILENO) == STDERR_FILENO)
            for _ in 0..<300 { StandardError.writeLine("one line") }
            try #require(lseek(STDERR_FILENO, 0, SEEK_CUR) == 2700)
        }
    }
}
