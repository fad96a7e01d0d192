import Apus
import ApusGateway
import Foundation
import Synchronization

/// A directory of its own for a test, with a secret beside it; both gone in the end.
final class FileTree: Sendable {
    /// Files older than a second have strong validators.
    static let modified = Date(timeIntervalSince1970: 784_111_777)
    static let lastModified = "Sun, 06 Nov 1994 08:49:37 GMT"

    let base: String
    /// What is served.
    let root: String

    init() throws {
        base = NSTemporaryDirectory() + "apus-files-" + UUID().uuidString
        root = base + "/root"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        try Data("secret".utf8).write(to: URL(fileURLWithPath: base + "/secret.txt"))
    }

    deinit {
        try? FileManager.default.removeItem(atPath: base)
    }

    func add(_ path: String, _ content: String = "content", modified: Date = FileTree.modified) throws {
        let file = URL(fileURLWithPath: root + "/" + path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(content.utf8).write(to: file)
        try FileManager.default.setAttributes([.modificationDate: modified], ofItemAtPath: file.path)
    }

    func link(_ path: String, to destination: String) throws {
        try FileManager.default.createSymbolicLink(atPath: root + "/" + path, withDestinationPath: destination)
    }

    /// Serves one request.
    func get(
        _ target: String,
        method: String = "GET",
        headers: Headers = [:],
        rootPath: String = "",
        afterStart: @escaping @Sendable () throws -> Void = {}
    ) async throws -> Answer {
        let head = RequestHead(
            version: .http11,
            method: method,
            scheme: "http",
            target: Bytes(target),
            headers: headers,
            contentLength: nil,
            hasBody: false,
            expectsContinue: false,
            acceptsTrailers: false
        )
        let connection = ConnectionInfo(client: nil, server: nil, tls: nil, rootPath: rootPath)
        let channel = RecordingChannel(afterStart: afterStart)
        let application = try StaticFiles(root: root)
        let scope = Scope.http(HTTPScope(head: head, connection: connection, state: State()))
        try await application(scope, Receive(channel), Send(channel))
        return channel.answer
    }
}

/// What an application has answered.
struct Answer: Sendable {
    var status = 0
    var headers = Headers()
    var body = ""
    /// The size of each piece of the body that did not come by path.
    var pieces: [Int] = []
    var wentByPath = false
    var isComplete = false
}

/// Records what is sent, and reads files that are sent by path when they are sent, as the server does.
final class RecordingChannel: EventChannel {
    private let recorded = Mutex(Answer())
    private let afterStart: @Sendable () throws -> Void

    init(afterStart: @escaping @Sendable () throws -> Void) {
        self.afterStart = afterStart
    }

    var answer: Answer { recorded.withLock { $0 } }

    func receive() async throws -> ReceiveEvent { .disconnect }

    func send(_ event: SendEvent) async throws {
        switch event {
        case .responseStart(let status, let headers, _):
            recorded.withLock {
                $0.status = status
                $0.headers = headers
            }
            try afterStart()
        case .responseBody(let bytes, let more):
            recorded.withLock {
                $0.body += bytes.description
                $0.pieces.append(bytes.count)
                $0.isComplete = !more
            }
        case .pathSend(let path):
            let content = try Data(contentsOf: URL(fileURLWithPath: path))
            recorded.withLock {
                $0.body = String(decoding: content, as: UTF8.self)
                $0.wentByPath = true
                $0.isComplete = true
            }
        default:
            throw ContractViolation("not for a file")
        }
    }
}
