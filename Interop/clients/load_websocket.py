"""Messages and their echoes on WebSockets over HTTP/1.1, by the package websockets."""

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from load_connection import Connection

GOING = (1001, 1012)
"""Going away, and restart of the service."""


class EchoConnection(Connection):
    async def open(self, path):
        url = f"ws://127.0.0.1:{self.ports['http']}{path}"
        quiet = {"compression": None, "ping_interval": None, "proxy": None}
        self.socket = await connect(url, open_timeout=10, close_timeout=5, **quiet)
        self.process = int(self.socket.response.headers["x-process"])

    async def ask(self, path):
        """A message that meets the Close frame on its way is to be sent again elsewhere (RFC 6455 section 1.4)."""
        message = f"message {self.asked}"
        try:
            await self.socket.send(message)
            echo = await self.socket.recv()
        except ConnectionClosed as closed:
            if closed.rcvd and closed.rcvd.code in GOING:
                self.note(told=f"Close {closed.rcvd.code}")
                return None
            self.note(ended="closed")
            raise ConnectionError(f"the WebSocket ended: {closed}") from None
        if echo != message:
            raise ConnectionError(f"not an echo: {echo[:60]!r}")
        return self.process

    async def close(self):
        await self.socket.close()
