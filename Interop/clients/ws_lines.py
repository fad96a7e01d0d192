"""Lines of bytes for WebSockets, one for each opening: a connection on HTTP/1.1, a stream on HTTP/2 and HTTP/3.

Nothing is known here of frames. A line gives what came (`read`, None at its end), and how it ended (`ending`: fin, lost, or the
code of a reset).
"""

import asyncio
import ssl

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WINDOW = 1 << 20
"""Of a stream that nobody reads."""


def client_for(http):
    return {"1.1": Http1Client, "2": Http2Client, "3": Http3Client}[http]()


# HTTP/1.1


class Http1Line:
    ending = None
    status = None

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.piece = None

    async def answer(self):
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ending = "lost"
            return
        self.status = int(head[9:12])

    @property
    def accepted(self):
        return self.status == 101

    async def read(self):
        try:
            data = await self.reader.read(1 << 16)
        except (ConnectionError, ssl.SSLError):
            data, self.ending = b"", self.ending or "lost"
        if not data:
            self.ending = self.ending or "fin"
        return data or None

    async def write(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def reset(self):
        self.writer.transport.abort()


class Http1Client:
    """Every WebSocket has a connection of its own."""

    async def connect(self, url, options):
        self.url = url
        self.context = tls_context(["http/1.1"]) if url.scheme == "https" else None
        return {}

    async def begin(self, head):
        # So that no more is read than was asked for, where nobody reads.
        reader, writer = await asyncio.open_connection(
            self.url.hostname, self.url.port, ssl=self.context, limit=1 << 16
        )
        writer.write(head.encode())
        return Http1Line(reader, writer)

    async def open(self, path, fields, reads=True, answered=True):
        given = {"host": self.url.netloc, "upgrade": "websocket", "connection": "Upgrade"}
        given |= {"sec-websocket-version": "13", "sec-websocket-key": KEY} | fields
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
        line = await self.begin(f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n")
        if answered:
            await line.answer()
        return line

    async def get(self, path):
        line = await self.begin(f"GET {path} HTTP/1.1\r\nhost: {self.url.netloc}\r\nconnection: close\r\n\r\n")
        await line.answer()
        await line.reset()
        return line.status

    async def leave(self):
        pass


# HTTP/2 and HTTP/3


class StreamLine:
    status = None

    def __init__(self, tunnel, number):
        self.tunnel, self.number = tunnel, number
        self.stream = tunnel.stream(number)

    @property
    def accepted(self):
        return self.status == 200

    @property
    def ending(self):
        return self.stream.ending

    async def answer(self):
        try:
            self.status = (await self.stream.answer)[0]
        except ConnectionError:
            pass

    async def read(self):
        return await self.stream.data.get()

    async def write(self, data):
        await self.tunnel.write(data, self.number)

    async def reset(self):
        if not self.ending:
            self.tunnel.reset(self.number)


class StreamClient:
    """Every WebSocket is a stream of one connection."""

    async def connect(self, url, options):
        self.url = url
        return {"settings": await self.tunnel.connect(url)}

    async def open(self, path, fields, reads=True, answered=True):
        head = {":method": "CONNECT", ":protocol": "websocket", ":scheme": self.url.scheme}
        head |= {":authority": self.url.netloc, ":path": path, "sec-websocket-version": "13"} | fields
        number = self.tunnel.ask([(name, value) for name, value in head.items() if value is not None], False)
        if not reads:
            self.tunnel.stop_reading(number)
        line = StreamLine(self.tunnel, number)
        if answered:
            await line.answer()
        return line

    async def get(self, path):
        return await self.tunnel.get(path)

    async def leave(self):
        await self.tunnel.leave()


class Http2Client(StreamClient):
    def __init__(self):
        from ws_http2 import Http2Tunnel

        self.tunnel = Http2Tunnel(WINDOW)


class Http3Client(StreamClient):
    def __init__(self):
        from ws_http3 import Http3Tunnel

        self.tunnel = Http3Tunnel(WINDOW)


def tls_context(protocols):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(protocols)
    return context
