"""A WebSocket in a stream of HTTP/2 or HTTP/3: frames by the package wsproto."""

import asyncio

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

ABNORMAL = 1006
CODES = {1005: CloseReason.NO_STATUS_RCVD}
"""By this alone the package knows that it is to send no code."""


def deflate_offer(extension):
    return f"{extension.name}; {extension.offer()}"


class TunnelClient:
    """What `tunnel` carries: it opens streams, writes, and gives the bytes that come, None at the end."""

    def __init__(self, tunnel):
        self.tunnel = tunnel
        self.pieces = []
        self.events = asyncio.Queue()
        self.pongs = asyncio.Queue()

    async def open(self, url, options):
        extension = PerMessageDeflate() if options.get("deflate") else None
        head = self.head(url, options, extension)
        settings = await self.tunnel.connect(url)
        if options.get("settings_only"):
            return {"settings": settings}
        status, headers = await self.tunnel.open(head)
        answer = {"status": status, "headers": headers, "settings": settings}
        if status != 200:
            return answer | {"body": (await self.tunnel.rest()).decode("utf-8", "replace")}
        agreed = dict(headers).get("sec-websocket-extensions")
        if agreed:
            extension.finalize(agreed)
        self.frames = Connection(ConnectionType.CLIENT, [extension] if agreed else [])
        self.reading = asyncio.ensure_future(self.read())
        return answer

    def head(self, url, options, extension):
        """RFC 8441 section 4; `connect_protocol` null makes it a plain CONNECT (RFC 9113 section 8.5)."""
        protocol = options.get("connect_protocol", "websocket")
        head = [(":method", "CONNECT"), (":authority", url.netloc)]
        if protocol:
            target = url.path + (f"?{url.query}" if url.query else "")
            head += [(":protocol", protocol), (":scheme", url.scheme), (":path", target)]
            head += [("sec-websocket-version", "13")]
        if options.get("subprotocols"):
            head.append(("sec-websocket-protocol", ", ".join(options["subprotocols"])))
        if extension:
            head.append(("sec-websocket-extensions", deflate_offer(extension)))
        if options.get("origin"):
            head.append(("origin", options["origin"]))
        return head + [(name.lower(), value) for name, value in options.get("headers") or []]

    async def read(self):
        """Takes what comes until the stream ends; answers pings, and a close."""
        while (data := await self.tunnel.read()) is not None:
            if self.frames.state is ConnectionState.CLOSED:
                continue
            self.frames.receive_data(data)
            for event in self.frames.events():
                await self.take(event)
        self.events.put_nowait(("close", (ABNORMAL, "")))

    async def take(self, event):
        if isinstance(event, Ping):
            await self.tunnel.write(self.frames.send(event.response()))
        elif isinstance(event, Pong):
            self.pongs.put_nowait(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self.events.put_nowait(("close", (event.code, event.reason or "")))
            if self.frames.state is ConnectionState.REMOTE_CLOSING:
                await self.tunnel.write(self.frames.send(event.response()))
            await self.tunnel.end("fin")
        else:
            self.pieces.append(event.data)
            if event.message_finished:
                self.events.put_nowait(("message", type(event.data)().join(self.pieces)))
                self.pieces = []

    async def send(self, message):
        kind = TextMessage if isinstance(message, str) else BytesMessage
        await self.tunnel.write(self.frames.send(kind(data=message)))

    async def receive(self):
        return await self.events.get()

    async def ping(self, payload):
        await self.tunnel.write(self.frames.send(Ping(payload=payload)))
        while await self.pongs.get() != payload:
            pass

    async def close(self, code, reason):
        await self.tunnel.write(self.frames.send(CloseConnection(code=CODES.get(code, code), reason=reason or None)))

    async def write(self, data):
        await self.tunnel.write(data)

    async def leave(self):
        """Without a Close frame."""
        await self.tunnel.leave()

    async def end(self, how):
        await self.tunnel.end(how)

    async def ending(self):
        await self.reading
        return self.tunnel.ending

    async def get(self, path):
        return await self.tunnel.get(path)
