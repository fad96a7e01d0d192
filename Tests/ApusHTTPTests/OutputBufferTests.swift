import ApusGateway
import ApusHTTP
import Glibc
import Testing

struct OutputBufferTests {
    private let large = Bytes(repeatElement(0x4C, count: OutputBuffer.inlineLimit + 1))

    private func vectorCount(_ buffer: borrowing OutputBuffer) -> Int {
        buffer.withVectors(limit: 1024) { $0.count }
    }

    private func file(offset: Int = 0, count: Int, _ closed: Counter = Counter()) -> FileRegion {
        FileRegion(descriptor: 7, offset: offset, count: count) { _ in closed.count += 1 }
    }

    private final class Counter: @unchecked Sendable {
        // Each is used by one test on one thread.
        var count = 0
    }

    @Test func `small pieces are gathered, large ones are not copied`() {
        var buffer = OutputBuffer()
        #expect(vectorCount(buffer) == 0)
        buffer.append(literal: "abc")
        buffer.append([0x64])
        buffer.append(Bytes("e"))
        #expect(vectorCount(buffer) == 1)
        buffer.append(large)
        buffer.append(literal: "f")
        #expect(vectorCount(buffer) == 3)
        #expect(buffer.count == 6 + large.count)
        #expect(bytes(of: buffer) == Array("abcde".utf8) + Array(large) + Array("f".utf8))
        #expect(buffer.withVectors(limit: 2) { $0.count } == 2)
        #expect(buffer.withVectors(limit: 2) { UnsafeRawPointer($0[1].iov_base) == large.memory.baseAddress })
    }

    @Test func `any number of bytes can be taken off the front`() {
        var whole = OutputBuffer()
        whole.append(literal: "head")
        whole.append(large)
        whole.append(literal: "tail")
        let all = bytes(of: whole)
        for taken in 0...all.count {
            var buffer = OutputBuffer()
            buffer.append(literal: "head")
            buffer.append(large)
            buffer.append(literal: "tail")
            buffer.consume(taken)
            #expect(buffer.count == all.count - taken)
            #expect(bytes(of: buffer) == Array(all[taken...]))
            buffer.append(literal: "more")
            #expect(bytes(of: buffer) == Array(all[taken...]) + Array("more".utf8))
        }
    }

    @Test func `a buffer that is never empty does not lose its order`() {
        var buffer = OutputBuffer()
        var expected: [UInt8] = []
        for round in 0..<500 {
            let piece = [UInt8](repeating: UInt8(round % 251), count: round % 7 + 1)
            buffer.append(piece)
            buffer.append(large)
            expected += piece + Array(large)
            let taken = min(expected.count - 1, 900)
            buffer.consume(taken)
            expected.removeFirst(taken)
        }
        buffer.append(literal: "end")
        #expect(buffer.count == expected.count + 3)
        buffer.consume(expected.count)
        #expect(bytes(of: buffer) == Array("end".utf8))
    }

    @Test func `an empty buffer gives back all its memory when asked`() {
        var buffer = OutputBuffer()
        buffer.append(literal: "abc")
        buffer.releaseMemory()
        #expect(bytes(of: buffer) == Array("abc".utf8))
        buffer.consume(3)
        #expect(buffer.blockCapacity > 0)
        buffer.releaseMemory()
        #expect(buffer.blockCapacity == 0)
        buffer.append(literal: "defg")
        #expect(bytes(of: buffer) == Array("defg".utf8))
    }

    @Test func `a buffer that is never empty does not grow`() {
        var buffer = OutputBuffer()
        var expected: [UInt8] = []
        for round in 0..<2000 {
            let piece = [UInt8](repeating: UInt8(round % 251), count: 1000)
            buffer.append(piece)
            expected += piece
            guard expected.count > 3000 else { continue }
            if round % 10 == 0 {
                buffer.append(large)
                expected += Array(large)
            }
            buffer.consume(expected.count - 1500)
            expected.removeFirst(expected.count - 1500)
        }
        #expect(bytes(of: buffer) == expected)
        #expect(buffer.blockCapacity <= 32 * 1024)
    }

    @Test func `a file stands between the memory before and behind it`() {
        let closed = Counter()
        var buffer = OutputBuffer()
        buffer.append(literal: "a")
        buffer.append(file(offset: 5, count: 10, closed))
        buffer.append(file(count: 0, closed))
        buffer.append(literal: "b")
        #expect(buffer.count == 12)
        #expect(closed.count == 1)
        #expect(bytes(of: buffer) == Array("a".utf8))
        buffer.consume(4)
        guard case .file(_, offset: 8, count: 7) = buffer.front else {
            Issue.record("the file is not next")
            return
        }
        #expect(vectorCount(buffer) == 0)
        buffer.consume(7)
        #expect(closed.count == 2)
        guard case .memory = buffer.front else {
            Issue.record("the memory is not next")
            return
        }
        buffer.consume(1)
        guard case .nothing = buffer.front else {
            Issue.record("something is left")
            return
        }
    }

    @Test func `memory that is written is given up at once`() {
        weak var owner: Owner?
        var buffer = OutputBuffer()
        do {
            let bytes = Owner()
            owner = bytes
            buffer.append(bytes.bytes)
        }
        buffer.append(literal: "behind")
        #expect(owner != nil)
        buffer.consume(2000)
        #expect(owner == nil)
        #expect(buffer.count == 6)
    }

    @Test func `everything moves from one buffer to another`() {
        for isEmpty in [true, false] {
            var source = OutputBuffer()
            source.append(literal: "xab")
            source.append(large)
            source.append(file(offset: 1, count: 4))
            source.append(literal: "c")
            source.consume(1)
            var target = OutputBuffer()
            if !isEmpty { target.append(literal: "0") }
            target.take(&source)
            #expect(vectorCount(source) == 0)
            #expect(target.count == 3 + large.count + 4 + (isEmpty ? 0 : 1))
            let memory = Array((isEmpty ? "" : "0").utf8) + Array("ab".utf8) + Array(large)
            #expect(bytes(of: target) == memory)
            target.consume(memory.count + 4)
            #expect(bytes(of: target) == Array("c".utf8))
            source.append(literal: "again")
            #expect(bytes(of: source) == Array("again".utf8))
        }
    }

    @Test func `so many bytes move from one buffer to another`() {
        for limit in [0, 1, 2, 3, 700, 1027, 1028, 1030, 1031, 1032, 2000] {
            var source = OutputBuffer()
            source.append(literal: "ab")
            source.append(large)
            source.append(file(offset: 10, count: 4))
            source.append(literal: "c")
            let total = source.count
            var target = OutputBuffer()
            target.take(&source, atMost: limit)
            #expect(target.count == min(limit, total))
            #expect(source.count == total - target.count)
            var memory = bytes(of: target)
            while target.count > 0 {
                if case .file(_, let offset, let count) = target.front {
                    #expect(offset == 10 && count == min(4, limit - 1027))
                    target.consume(count)
                } else {
                    target.consume(bytes(of: target).count)
                }
                memory += bytes(of: target)
            }
            if limit <= 1027 { #expect(memory + bytes(of: source) == Array("ab".utf8) + Array(large)) }
            if limit >= 1032 { #expect(memory == Array("ab".utf8) + Array(large) + Array("c".utf8)) }
        }
    }

    @Test func `room that is not used is not sent`() {
        var buffer = OutputBuffer()
        buffer.withRoom(for: 10_000) { room in
            room[0] = 0x61
            return 1
        }
        buffer.withRoom(for: 10) { _ in 0 }
        #expect(bytes(of: buffer) == [0x61])
    }
}
