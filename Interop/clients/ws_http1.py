"""A WebSocket on HTTP/1.1, by the package websockets."""

import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

NO_STATUS = 1005
ABNORMAL = 1006


def answer(response):
    body = (response.body or b"").decode("utf-8", "replace")
    return {"status": response.status_code, "headers": list(response.headers.raw_items()), "body": body}


class Http1Client:
    socket = None

    async def open(self, url, options):
        secure = url.scheme == "https"
        try:
            self.socket = await connect(
                url._replace(scheme="wss" if secure else "ws").geturl(),
                ssl=without_verification() if secure else None,
                compression="deflate" if options.get("deflate") else None,
                subprotocols=options.get("subprotocols"),
                additional_headers=options.get("headers"),
                origin=options.get("origin"),
                max_size=None,
                max_queue=None,
                ping_interval=None,
                open_timeout=5,
                close_timeout=5,
                proxy=None,
            )
        except InvalidStatus as refused:
            return answer(refused.response)
        return answer(self.socket.response)

    async def send(self, message):
        await self.socket.send(message)

    async def receive(self):
        try:
            return "message", await self.socket.recv()
        except ConnectionClosed as closed:
            frame = closed.rcvd
            return "close", (frame.code, frame.reason) if frame else (ABNORMAL, "")

    async def ping(self, payload):
        await (await self.socket.ping(payload))

    async def close(self, code, reason):
        if code == NO_STATUS:
            # The package has no way to say nothing.
            await self.write(bytes.fromhex("888000000000"))
        else:
            await self.socket.close(code, reason)

    async def write(self, data):
        self.socket.transport.write(data)

    async def leave(self):
        """Without a Close frame."""
        if self.socket:
            self.socket.transport.abort()

    async def end(self, how):
        if how == "reset":
            self.socket.transport.abort()
        elif self.socket.transport.can_write_eof():
            self.socket.transport.write_eof()
        else:
            # TLS: both directions end (RFC 8446 section 6.1).
            self.socket.transport.close()

    async def ending(self):
        """The package takes a reset after the closing handshake for an end like others."""
        await self.socket.wait_closed()
        return "fin"


def without_verification():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context
