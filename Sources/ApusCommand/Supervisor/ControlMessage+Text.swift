import Apus

extension ControlMessage {
    /// The message as it is sent.
    var encoded: [UInt8] { Array(text.utf8) }

    private var text: String {
        switch self {
        case .hello(let greeting): "hello \(greeting.text)"
        case .sockets(let slot, let encoded): "sockets \(slot) \(Hexadecimal.text(of: encoded))"
        case .start: "start"
        case .newcomers(let slots): (["newcomers"] + slots.map(String.init)).joined(separator: " ")
        case .adopt(let slot, let encoded): "adopt \(slot) \(Hexadecimal.text(of: encoded))"
        case .release(let slot): "release \(slot)"
        case .reader(let isReader): "reader \(isReader ? 1 : 0)"
        case .drain(let isReloading): "drain \(isReloading ? 1 : 0)"
        case .ping(let number): "ping \(number)"
        case .ready: "ready"
        case .released(let slot): "released \(slot)"
        case .leaving: "leaving"
        case .pong(let number, let report): "pong \(number) \(report.text)"
        case .descriptors: "descriptors"
        }
    }

    /// A message as it was received; nil for one that is not known, or not whole.
    init?(encoded: [UInt8]) {
        var words = WordReader(encoded)
        guard let message = Self.message(words.next() ?? "", &words), words.isAtEnd else { return nil }
        self = message
    }

    private static func message(_ verb: Substring, _ words: inout WordReader) -> ControlMessage? {
        switch verb {
        case "hello": WorkerGreeting(&words).map { .hello($0) }
        case "sockets": words.slotAndBytes().map { .sockets(slot: $0, encoded: $1) }
        case "start": .start
        case "newcomers": words.numbers(below: mostSlots).map { .newcomers($0) }
        case "adopt": words.slotAndBytes().map { .adopt(slot: $0, encoded: $1) }
        case "release": words.number(below: mostSlots).map { .release(slot: $0) }
        case "reader": words.number(below: 2).map { .reader($0 == 1) }
        case "drain": words.number(below: 2).map { .drain(isReloading: $0 == 1) }
        case "ping": words.number().map { .ping($0) }
        case "ready": .ready
        case "released": words.number(below: mostSlots).map { .released(slot: $0) }
        case "leaving": .leaving
        case "pong": words.number().flatMap { number in WorkerReport(&words).map { .pong(number, $0) } }
        case "descriptors": .descriptors
        default: nil
        }
    }

    /// Each worker has a slot in either bank.
    static let mostSlots = 2 * SupervisorSettings.mostWorkers
}

extension WorkerGreeting {
    fileprivate var text: String { "\(slot) \(slotCount) \(index) \(id) \(Hexadecimal.text(of: secrets))" }

    fileprivate init?(_ words: inout WordReader) {
        guard let slot = words.number(below: ControlMessage.mostSlots),
            let slotCount = words.number(below: ControlMessage.mostSlots + 1), slot < slotCount,
            let index = words.number(below: SupervisorSettings.mostWorkers), let id = words.number(),
            let secrets = words.bytes()
        else { return nil }
        self.init(slot: slot, slotCount: slotCount, index: index, id: id, secrets: secrets)
    }
}

extension WorkerReport {
    fileprivate var text: String {
        "\(requests) \(http1) \(http2) \(http3) \(webSockets) \(isDraining ? 1 : 0)"
    }

    fileprivate init?(_ words: inout WordReader) {
        guard let requests = words.number(), let http1 = words.number(), let http2 = words.number(),
            let http3 = words.number(), let webSockets = words.number(), let isDraining = words.number(below: 2)
        else { return nil }
        self.init()
        self.requests = requests
        self.http1 = http1
        self.http2 = http2
        self.http3 = http3
        self.webSockets = webSockets
        self.isDraining = isDraining == 1
    }
}

extension WordReader {
    fileprivate mutating func slotAndBytes() -> (Int, [UInt8])? {
        guard let slot = number(below: ControlMessage.mostSlots), let bytes = bytes() else { return nil }
        return (slot, bytes)
    }
}
