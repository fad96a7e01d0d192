import CApusShims
import Glibc

/// A classic BPF program by which the kernel chooses, for a datagram or connection that comes to a group of
/// sockets (SO_REUSEPORT), the one that gets it: its slot, counted in the order in which UDP sockets were
/// bound and TCP sockets began to listen.
///
/// Closing one of a group moves the last one into its place: a group keeps all its sockets while it is
/// steered. A slot that no socket has, as the program says it for what belongs to nobody, leaves the choice
/// to the kernel's own hash.
package struct SteeringProgram: Hashable, Sendable {
    /// One instruction, as <linux/filter.h> has it.
    struct Instruction: Hashable, Sendable {
        let code: UInt16
        /// Instructions to skip if a comparison holds, and if it does not.
        let jumpIfTrue: UInt8
        let jumpIfFalse: UInt8
        let operand: UInt32
    }

    /// Newcomers' slots in one program. Each takes 24 bytes of it in the kernel's own form, which some systems
    /// limit to 20 KiB (`net.core.optmem_max`).
    package static let maxNewcomers = 512
    /// Bytes of the shortest datagram that is looked at: less carries no packet of QUIC.
    static let minDatagramBytes: UInt32 = 24

    let instructions: [Instruction]

    /// Steers datagrams by the connection ID that the client gave them: one of ours (of `idLength` bytes, or of a
    /// short header) to the slot that is in its first bytes, any other, the newcomers', to one of `newcomers`.
    ///
    /// The slot of an ID is `((its first 4 bytes, big-endian) &* key) >> 16) % slotCount`; a newcomer's place in
    /// the list is found alike, modulo the length of the list. Without newcomers' slots the kernel's hash decides.
    package static func datagrams(
        slotCount: Int,
        newcomers: [Int],
        key: UInt32,
        idLength: Int
    ) -> SteeringProgram {
        precondition(slotCount > 0 && (0...20).contains(idLength), "a steering program needs slots and IDs of QUIC")
        let owner: [Instruction] = hash(key) + [.modulo(UInt32(slotCount)), .returnAccumulator]
        let program: [Instruction] =
            [
                .loadLength, .jumpIfAtLeast(minDatagramBytes, skip: 1), .returnValue(.max),
                // RFC 9000 §17.2: the first bit says that the header is a long one.
                .loadByte(at: 0), .jumpIfAnyBit(0x80, skip: 1 + owner.count),
                // RFC 9000 §17.3: the ID follows the first byte.
                .loadWord(at: 1),
            ] + owner + [
                // RFC 9000 §17.2: after the version, the ID's length, and the ID.
                .loadByte(at: 5), .jumpIfEqual(UInt32(idLength), otherwiseSkip: 1 + owner.count),
                .loadWord(at: 6),
            ] + owner + [.loadWord(at: 6)] + hash(key)
        return SteeringProgram(instructions: program + choice(among: newcomers))
    }

    /// Steers connections at random over `newcomers`.
    package static func connections(newcomers: [Int]) -> SteeringProgram {
        SteeringProgram(instructions: [.loadRandom] + choice(among: newcomers))
    }

    /// Of the product the middle bits: the low ones know only the low bits of the ID.
    private static func hash(_ key: UInt32) -> [Instruction] {
        [.multiply(key), .shiftRight(16)]
    }

    /// Returns the slot at the place "accumulator modulo count" of the list.
    private static func choice(among slots: [Int]) -> [Instruction] {
        precondition(slots.count <= maxNewcomers, "a steering program has at most \(maxNewcomers) newcomers' slots")
        guard let last = slots.last else { return [.returnValue(.max)] }
        return [.modulo(UInt32(slots.count))]
            + slots.dropLast().enumerated()
            .flatMap { place, slot in
                [.jumpIfEqual(UInt32(place), otherwiseSkip: 1), .returnValue(UInt32(slot))]
            } + [.returnValue(UInt32(last))]
    }

    /// Steers the whole group of which `socket` is a member, from the next packet on, instead of any earlier program.
    package func attach(to socket: BoundSocket) throws(SystemError) {
        let filters = instructions.map {
            sock_filter(code: $0.code, jt: $0.jumpIfTrue, jf: $0.jumpIfFalse, k: $0.operand)
        }
        let result = apus_attach_steering(socket.descriptor, filters, UInt16(filters.count))
        guard result == 0 else { throw SystemError("setsockopt", code: -result) }
    }
}

extension SteeringProgram.Instruction {
    private init(_ code: Int32, _ operand: UInt32, ifTrue: Int = 0, ifFalse: Int = 0) {
        self.code = UInt16(code)
        self.operand = operand
        jumpIfTrue = UInt8(ifTrue)
        jumpIfFalse = UInt8(ifFalse)
    }

    static let loadLength = Self(BPF_LD | BPF_W | BPF_LEN, 0)
    static let loadRandom = Self(BPF_LD | BPF_W | BPF_ABS, UInt32(bitPattern: SKF_AD_OFF + SKF_AD_RANDOM))
    static let returnAccumulator = Self(BPF_RET | BPF_A, 0)

    static func loadByte(at offset: UInt32) -> Self { Self(BPF_LD | BPF_B | BPF_ABS, offset) }
    static func loadWord(at offset: UInt32) -> Self { Self(BPF_LD | BPF_W | BPF_ABS, offset) }
    static func multiply(_ factor: UInt32) -> Self { Self(BPF_ALU | BPF_MUL | BPF_K, factor) }
    static func shiftRight(_ bits: UInt32) -> Self { Self(BPF_ALU | BPF_RSH | BPF_K, bits) }
    static func modulo(_ divisor: UInt32) -> Self { Self(BPF_ALU | BPF_MOD | BPF_K, divisor) }
    static func returnValue(_ value: UInt32) -> Self { Self(BPF_RET | BPF_K, value) }

    static func jumpIfAtLeast(_ value: UInt32, skip: Int) -> Self {
        Self(BPF_JMP | BPF_JGE | BPF_K, value, ifTrue: skip)
    }
    static func jumpIfAnyBit(_ bits: UInt32, skip: Int) -> Self { Self(BPF_JMP | BPF_JSET | BPF_K, bits, ifTrue: skip) }
    static func jumpIfEqual(_ value: UInt32, otherwiseSkip skip: Int) -> Self {
        Self(BPF_JMP | BPF_JEQ | BPF_K, value, ifFalse: skip)
    }
}
