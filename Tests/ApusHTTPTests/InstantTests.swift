import ApusHTTP
import Testing

struct InstantTests {
    @Test func `time saturates at both ends`() {
        let start = Instant(nanoseconds: 10)
        #expect(start + .seconds(.infinity) == .distantFuture)
        #expect(start + .seconds(1e300) == .distantFuture)
        #expect(start + .seconds(.nan) == start)
        #expect(start + .seconds(-1) == start)
        #expect(start + .milliseconds(.max) == .distantFuture)
        #expect(start.since(start + .seconds(1)) == .seconds(0))
        #expect((start + .seconds(0.5)).since(start) == .milliseconds(500))
    }
}
