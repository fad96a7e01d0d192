import ApusGateway
import ApusHTTP
import Testing

/// Pings and the other times of a WebSocket; they pass here as the tests wish.
@Suite struct WebSocketTimeTests {
    private let ping = ReadFrame(opcode: 9, payload: [])

    /// A peer with the times that a test names, and no others.
    private func peer(_ change: (inout WebSocketOptions) -> Void) -> FramePeer {
        FramePeer {
            $0.pingInterval = nil
            $0.pingTimeout = nil
            change(&$0)
        }
    }

    @Test func `a silent peer is pinged in each interval, a talking one is not`() throws {
        let peer = peer { $0.pingInterval = 20 }
        peer.pass(19.9)
        #expect(try peer.frames() == [])
        peer.pass(0.1)
        #expect(try peer.frames() == [ping])
        peer.pass(20)
        #expect(try peer.frames() == [ping])
        for _ in 0..<10 {
            peer.pass(10)
            peer.give(.text("a"))
            _ = peer.events()
        }
        #expect(try peer.frames() == [])
        peer.pass(20)
        #expect(try peer.frames() == [ping])
    }

    @Test func `a ping that nobody takes is not followed by others`() throws {
        let peer = peer { $0.pingInterval = 20 }
        peer.pass(200)
        #expect(try peer.frames() == [ping])
    }

    @Test func `a peer that does not answer a ping in time is given up`() throws {
        let peer = peer {
            $0.pingInterval = 20
            $0.pingTimeout = 15
        }
        peer.pass(20)
        #expect(try peer.frames() == [ping])
        peer.pass(14.9)
        #expect(peer.connection.disposition == .open)
        peer.pass(0.1)
        #expect(peer.events() == [.closed(.abnormalClosure, reason: "")])
        #expect(try peer.frames().map(\.code) == [1011])
        #expect(peer.connection.disposition == .abort)
        #expect(peer.connection.connectionError?.kind == .timeout)
        #expect(peer.connection.deadline == nil)
    }

    @Test(arguments: [PeerFrame.pong(), .pong([1, 2]), .text("anything"), .ping()])
    func `whatever comes after a ping answers it`(frame: PeerFrame) throws {
        let peer = peer {
            $0.pingInterval = 20
            $0.pingTimeout = 15
        }
        for _ in 0..<5 {
            peer.pass(20)
            #expect(try peer.frames().contains(ping))
            peer.pass(14)
            peer.give(frame)
            _ = peer.events()
            peer.pass(6)
            #expect(peer.connection.disposition == .open)
            peer.pass(10)
            peer.give(frame)
        }
    }

    @Test func `a byte of a large frame is a sign of life`() throws {
        let peer = peer {
            $0.pingInterval = 20
            $0.pingTimeout = 15
        }
        let bytes = PeerFrame.binary(noise(20)).bytes
        for byte in bytes {
            peer.give(bytes: [byte])
            peer.pass(30)
            #expect(try peer.frames() == [ping])
        }
        #expect(peer.events() == [.binary(noise(20))])
    }

    @Test func `pings go on where the pong may take longer than the interval`() throws {
        let peer = peer {
            $0.pingInterval = 10
            $0.pingTimeout = 35
        }
        for _ in 0..<4 {
            peer.pass(10)
            #expect(try peer.frames() == [ping])
        }
        peer.pass(4)
        #expect(peer.connection.disposition == .open)
        peer.pass(1)
        #expect(peer.connection.disposition == .abort)
    }

    @Test func `while we do not read, silence is no fault, and then the pong has its full time`() throws {
        let peer = peer {
            $0.pingInterval = 20
            $0.pingTimeout = 15
            $0.maxQueuedMessages = 1
        }
        peer.give(.text("1"), .pong())
        #expect(!peer.connection.wantsInput)
        for _ in 0..<10 {
            peer.pass(20)
            #expect(try peer.frames() == [ping])
        }
        #expect(peer.connection.disposition == .open)
        // Read again, but nothing is there.
        _ = peer.connection.nextEvent()
        peer.pass(14.9)
        #expect(peer.connection.disposition == .open)
        peer.settle()
        peer.pass(0.1)
        #expect(peer.connection.disposition == .open)
    }

    @Test func `after a pause a peer that stays silent is given up all the same`() throws {
        let peer = peer {
            $0.pingInterval = 20
            $0.pingTimeout = 15
            $0.maxQueuedMessages = 1
        }
        peer.give(.text("1"))
        peer.pass(40)
        _ = try peer.frames()
        _ = peer.events()
        peer.pass(24.9)
        #expect(peer.connection.disposition == .open)
        _ = try peer.frames()
        peer.pass(0.1)
        #expect(peer.connection.disposition == .abort)
    }

    @Test func `a ping that has not left cannot be unanswered`() throws {
        let peer = peer {
            $0.pingInterval = 20
            $0.pingTimeout = 15
        }
        peer.pass(100)
        #expect(peer.connection.disposition == .open)
        #expect(try peer.frames() == [ping])
        peer.pass(30)
        #expect(peer.connection.disposition == .abort)
    }

    @Test func `a peer that takes what lies before the ping is not silent`() throws {
        let peer = FramePeer()
        let ping = try #require(peer.connection.deadline)
        peer.connection.handleTimeout(now: ping)
        #expect(peer.connection.nextOutput() != nil)
        peer.connection.outputMoved()
        var now = ping
        while now < ping + .seconds(20), let deadline = peer.connection.deadline {
            now = deadline
            peer.connection.handleTimeout(now: now)
        }
        #expect(peer.connection.disposition == .open)
    }

    @Test(arguments: [nil, 0, -1, .nan] as [Double?])
    func `without times nothing is waited for`(_ none: Double?) {
        let peer = peer {
            $0.pingInterval = none
            $0.pingTimeout = none
            $0.idleTimeout = none
            $0.maxAge = none
        }
        #expect(peer.connection.deadline == nil)
        peer.pass(1e6)
        #expect(peer.connection.disposition == .open)
    }

    @Test func `a peer that does not answer our Close in time is given up`() throws {
        let peer = peer { $0.closeTimeout = 10 }
        peer.connection.close(1000, reason: "", now: peer.now)
        peer.pass(5)
        peer.give(.text("thrown away"), .pong())
        peer.pass(4.9)
        #expect(peer.connection.disposition == .open)
        peer.pass(0.1)
        #expect(peer.events() == [.closed(.abnormalClosure, reason: "")])
        #expect(peer.connection.disposition == .abort)
        #expect(peer.connection.connectionError?.kind == .timeout)
    }

    @Test func `a WebSocket without messages is closed, pings and pongs are none`() throws {
        let peer = peer { $0.idleTimeout = 30 }
        peer.pass(20)
        peer.give(.text("a"))
        _ = peer.events()
        peer.pass(20)
        peer.connection.send(.text("b"), more: false, now: peer.now)
        #expect(try peer.frames().count == 1)
        peer.pass(29)
        peer.give(.ping())
        #expect(try peer.frames() == [.pong([])])
        #expect(peer.connection.disposition == .open)
        peer.pass(1)
        #expect(try peer.frames().map(\.code) == [1001])
        peer.give(.close(1001))
        #expect(peer.events() == [.closed(1001, reason: "")])
        #expect(peer.connection.disposition == .close)
    }

    @Test func `a message that the application has not taken yet is not idleness`() throws {
        let peer = peer { $0.idleTimeout = 30 }
        peer.give(.text("a"))
        peer.pass(100)
        #expect(try peer.frames() == [])
        _ = peer.events()
        peer.pass(60)
        #expect(try peer.frames().map(\.code) == [1001])
    }

    @Test func `a WebSocket is closed when it is old enough, however busy`() throws {
        let peer = peer { $0.maxAge = 100 }
        for _ in 0..<9 {
            peer.pass(11)
            peer.give(.text("a"))
            _ = peer.events()
        }
        #expect(try peer.frames() == [])
        peer.pass(1)
        #expect(try peer.frames().map(\.code) == [1001])
        #expect(peer.connection.disposition == .open)
        peer.pass(10)
        #expect(peer.connection.disposition == .abort)
    }
}
