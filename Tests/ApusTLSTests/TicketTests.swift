import COpenSSL
import Synchronization
import Testing

@testable import ApusTLS

@Suite struct TicketTests {
    /// A clock that stands until it is set.
    private final class Clock: Sendable {
        private let seconds = Atomic(1_800_000_000 / TicketKeys.period * TicketKeys.period)

        var read: TicketKeys.Clock {
            { [self] in seconds.load(ordering: .relaxed) }
        }

        func advance(by count: Int) {
            seconds.add(count, ordering: .relaxed)
        }
    }

    private func server(_ secret: TicketSecret?, _ version: TLSVersion) throws -> TLSContext {
        var configuration = try TLSConfiguration.server(.test("ecdsa"))
        configuration.maximumVersion = version
        return try TLSContext(configuration: configuration, tickets: secret)
    }

    private func server(_ secret: TicketSecret, _ version: TLSVersion, _ clock: Clock) throws -> TLSContext {
        var configuration = try TLSConfiguration.server(.test("ecdsa"))
        configuration.maximumVersion = version
        return try TLSContext(configuration: configuration, ticketKeys: TicketKeys(secret, clock: clock.read))
    }

    private let client: TLSContext

    init() throws {
        client = try TLSContext(configuration: .trusting("ecdsa.pem"))
    }

    /// One handshake and a few bytes.
    private func visit(_ server: TLSContext, offering resumption: TLSResumption? = nil) throws -> Peers {
        let peers = try Peers(server: server, client: client, resuming: resumption)
        _ = try peers.exchange()
        try peers.client.send([1, 2, 3])
        #expect(try peers.exchange().atServer == [1, 2, 3])
        #expect(peers.server.wasResumed == peers.client.wasResumed)
        // OpenSSL's client offers no session again that was not closed.
        peers.client.close()
        return peers
    }

    /// What the client keeps of a visit.
    private func session(of peers: Peers) throws -> TLSResumption {
        try #require(peers.client.resumption)
    }

    private func ticket(of peers: Peers) throws -> [UInt8] {
        try session(of: peers).ticket
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func `a session is resumed by another server with the same secret`(version: TLSVersion) throws {
        let secret = TicketSecret.random()
        let copy = try #require(TicketSecret(bytes: secret.bytes))
        let first = try visit(server(secret, version))
        #expect(!first.server.wasResumed)
        let second = try visit(server(copy, version), offering: session(of: first))
        #expect(second.server.wasResumed)
        #expect(second.server.negotiatedProtocol == .http2)
        #expect(try visit(server(secret, version), offering: session(of: second)).server.wasResumed)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func `a server with another secret, or none, makes a full handshake`(version: TLSVersion) throws {
        let context = try server(.random(), version)
        let session = try session(of: visit(context))
        #expect(try !visit(server(.random(), version), offering: session).server.wasResumed)
        #expect(try !visit(server(nil, version), offering: session).server.wasResumed)
        #expect(try visit(context, offering: session).server.wasResumed)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func `a ticket of this period is good to the end of the next`(version: TLSVersion) throws {
        let clock = Clock()
        let context = try server(.random(), version, clock)
        let session = try session(of: visit(context))
        clock.advance(by: 2 * TicketKeys.period - 1)
        #expect(try visit(context, offering: session).server.wasResumed)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func `a ticket of the period before the last leads to a full handshake`(version: TLSVersion) throws {
        let clock = Clock()
        let context = try server(.random(), version, clock)
        let session = try session(of: visit(context))
        clock.advance(by: 2 * TicketKeys.period)
        // The library's own clock stands: the ticket has not expired for it.
        #expect(try !visit(context, offering: session).server.wasResumed)
    }

    @Test(arguments: [TLSVersion.tls12, .tls13])
    func `a ticket of the period before is answered with one of this period`(version: TLSVersion) throws {
        let clock = Clock()
        let context = try server(.random(), version, clock)
        let old = try session(of: visit(context))
        clock.advance(by: TicketKeys.period)
        let renewed = try session(of: visit(context, offering: old))
        #expect(old.ticket.prefix(16) != renewed.ticket.prefix(16))
        clock.advance(by: TicketKeys.period)
        #expect(try !visit(context, offering: old).server.wasResumed)
        #expect(try visit(context, offering: renewed).server.wasResumed)
    }

    @Test func `a ticket of this period is kept in TLS 1_2, and followed by the next in TLS 1_3`() throws {
        let secret = TicketSecret.random()
        let old = try visit(server(secret, .tls12))
        let kept = try visit(server(secret, .tls12), offering: session(of: old))
        #expect(try ticket(of: kept) == ticket(of: old))
        let used = try visit(server(secret, .tls13))
        let next = try visit(server(secret, .tls13), offering: session(of: used))
        #expect(try ticket(of: next) != ticket(of: used))
    }

    @Test func `a clock that was set back does not break a handshake`() throws {
        let clock = Clock()
        let context = try server(.random(), .tls13, clock)
        let session = try session(of: visit(context))
        clock.advance(by: -1)
        #expect(try !visit(context, offering: session).server.wasResumed)
        clock.advance(by: -2_000_000_000)
        #expect(try !visit(context).server.wasResumed)
    }

    /// The name, the vector, the sealed state and the tag: one bit anywhere.
    @Test(arguments: [TLSVersion.tls12, .tls13], [0, 15, 16, 31, 32, 100, -32, -1])
    func `a ticket that was tampered with leads to a full handshake`(version: TLSVersion, place: Int) throws {
        let context = try server(.random(), version)
        let first = try visit(context)
        let intact = try ticket(of: first)
        let peers = try Peers(server: context, client: client, resuming: session(of: first))
        var hello = peers.client.flush()
        let start = try #require(hello.firstRange(of: intact)).lowerBound
        hello[place < 0 ? start + intact.count + place : start + place] ^= 1
        // A client of TLS 1.3 binds its hello to the ticket, and one of either version to the whole handshake: the
        // server must not resume, and the two cannot agree.
        _ = try? peers.server.take(hello)
        #expect(!peers.server.wasResumed && !peers.server.isHandshakeComplete)
        #expect(!peers.server.flush().isEmpty)
        #expect(try visit(context, offering: session(of: first)).server.wasResumed)
    }

    @Test func `tickets of one period differ, and show nothing of the secret`() throws {
        let secret = TicketSecret.random()
        let context = try server(secret, .tls13)
        let first = try ticket(of: visit(context))
        let second = try ticket(of: visit(context))
        #expect(first.prefix(16) == second.prefix(16))
        #expect(first.dropFirst(16) != second.dropFirst(16))
        for start in 0...(TicketSecret.byteCount - 16) {
            #expect(first.firstRange(of: secret.bytes[start..<(start + 16)]) == nil)
        }
    }

    @Test func `a secret has one size`() {
        for size in [0, TicketSecret.byteCount - 1, TicketSecret.byteCount + 1] {
            #expect(TicketSecret(bytes: [UInt8](repeating: 1, count: size)) == nil)
        }
        #expect(TicketSecret.random().bytes != TicketSecret.random().bytes)
    }

    @Test func `no description shows a secret`() throws {
        let secret = try #require(TicketSecret(bytes: [UInt8](repeating: 211, count: TicketSecret.byteCount)))
        let context = try server(secret, .tls13)
        var texts = [
            String(describing: secret), String(reflecting: secret), "\(context)", String(reflecting: [secret]),
        ]
        var dumped = ""
        dump(secret, to: &dumped)
        dump(context, to: &dumped)
        texts.append(dumped)
        // Two by chance, in the number of an address: all 64 where the secret shows.
        for text in texts { #expect(text.split(separator: "211").count < 8, "\(text)") }
    }
}

extension TLSResumption {
    /// What the server has sent.
    fileprivate var ticket: [UInt8] {
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        SSL_SESSION_get0_ticket(handle, &bytes, &count)
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
