import ApusGateway

/// What a connection tells its driver about its streams, the same for every version of HTTP.
///
/// For each stream: one `request`, any number of `body`, one `end` (at once where the request has no body); or `reset`
/// in place of what is missing. After `reset` nothing more comes for that stream. A request that `isWebSocket` has no end
/// of its own: its `body` and `end` are the WebSocket's, and on HTTP/1.1, where they come only once that is open, a
/// `reset` is the end.
package enum StreamEvent {
    /// A request has arrived; where its head says `hasBody`, more events follow.
    case request(StreamID, RequestHead)
    /// A piece of the request body, never empty. It counts against the stream's window until it is `consumed`.
    case body(StreamID, Bytes)
    /// The request is complete.
    case end(StreamID, trailers: Headers?)
    /// The peer has given the stream up, or its connection is gone: the application's client has left.
    case reset(StreamID, StreamReset)
    /// What waited on this stream has drained below the low-water mark.
    case writable(StreamID)
}

/// Why a stream ends before its time, in words that every version can say in its own codes.
package enum StreamReset: Hashable, Sendable {
    /// Nothing is wrong: the rest of the request is not needed (H2 NO_ERROR, H3_NO_ERROR).
    case noError
    /// The request or its response is no longer wanted (CANCEL, H3_REQUEST_CANCELLED).
    case cancelled
    /// The application failed after its response had begun (INTERNAL_ERROR, H3_INTERNAL_ERROR).
    case internalError
    /// The request was not processed at all and may be repeated (REFUSED_STREAM, H3_REQUEST_REJECTED).
    case refused
    /// The message broke a rule of HTTP (PROTOCOL_ERROR, H3_MESSAGE_ERROR).
    case malformed
    /// The peer used more than it may (ENHANCE_YOUR_CALM, H3_EXCESSIVE_LOAD).
    case excessiveLoad
    /// The connection ended under the stream: by a FIN, a reset, a close or the idle timeout.
    case connectionLost
    /// A code of the peer's that has no word here.
    case other(UInt64)
}

/// What a driver tells a connection about the response on a stream; RequestStream has put it in order.
package enum ResponseEvent {
    /// A 1xx response (100, 103), any number of them before the head.
    case informational(status: Int, Headers)
    /// The head of the final response, once.
    case head(ResponseHead)
    /// A piece of the body; `end` where nothing follows it, neither body nor trailers. May be empty.
    case body(Bytes, end: Bool)
    /// A piece of the body from a file, on connections that say `acceptsFiles`.
    case file(FileRegion, end: Bool)
    /// The trailers, which end the response.
    case trailers(Headers)
    /// The response will not be finished: the peer must see that it is incomplete.
    case reset(StreamReset)
}

/// The head of a response, checked: valid names and values, no hop-by-hop fields, no `transfer-encoding`.
///
/// An object, because it passes through several hands on its way to the wire: a copy would count references of four
/// arrays each time. Whoever has sent it does not touch it any more. Its accesses are single loads and stores, which
/// cannot overlap: the dynamic checks of exclusivity are off.
package final class ResponseHead {
    @exclusivity(unchecked) package var status: Int
    /// The application's fields.
    @exclusivity(unchecked) package var headers: Headers
    /// The server's own fields (date, server, alt-svc), those that the application has set left out.
    @exclusivity(unchecked) package var defaults: Headers
    /// The body's length where the application or the server knows it; also in the fields then.
    @exclusivity(unchecked) package var contentLength: Int?
    /// Whether nothing follows the head: HEAD, 204, 304 (RFC 9110 §6.4.1).
    @exclusivity(unchecked) package var endsStream: Bool
    /// Whether trailers will end the response.
    @exclusivity(unchecked) package var trailersFollow: Bool
    /// HTTP/1: the application asked for `connection: close`.
    @exclusivity(unchecked) package var closesConnection: Bool
    /// Whether the response accepts a WebSocket: the bodies of both sides are its bytes from here on, until each ends its
    /// own. Only in answer to a head that `isWebSocket`, with 101 on HTTP/1.1 and 200 on HTTP/2 and HTTP/3.
    @exclusivity(unchecked) package var opensTunnel: Bool

    package init(
        status: Int,
        headers: Headers,
        defaults: Headers = Headers(),
        contentLength: Int? = nil,
        endsStream: Bool = false,
        trailersFollow: Bool = false,
        closesConnection: Bool = false,
        opensTunnel: Bool = false
    ) {
        self.status = status
        self.headers = headers
        self.defaults = defaults
        self.contentLength = contentLength
        self.endsStream = endsStream
        self.trailersFollow = trailersFollow
        self.closesConnection = closesConnection
        self.opensTunnel = opensTunnel
    }
}

/// A part of an open file; closes it when the last user has gone.
package final class FileRegion: Sendable {
    /// An open, readable descriptor that belongs to this object.
    package let descriptor: Int32
    package let offset: Int
    package let count: Int
    private let close: @Sendable (Int32) -> Void

    /// - Parameter close: Closes the descriptor; called once, in the end.
    package init(descriptor: Int32, offset: Int, count: Int, close: @escaping @Sendable (Int32) -> Void) {
        self.descriptor = descriptor
        self.offset = offset
        self.count = count
        self.close = close
    }

    deinit {
        close(descriptor)
    }
}
