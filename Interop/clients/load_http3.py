"""Requests side by side on one connection of HTTP/3, by aioquic."""

import asyncio
import ssl
import time

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import FrameType, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamReset

from load_connection import Connection, process_in
from load_http2 import Exchange

PULSE = 0.5
"""Seconds between two pings of a connection that waits for answers."""
RESET_TOKEN = 16
"""Bytes at the end of a stateless reset (RFC 9000 section 10.3)."""


class Http3(H3Connection):
    """The package reads over a GOAWAY (RFC 9114 section 5.2)."""

    goes_away = False

    def _check_control_frame_type(self, frame_type):
        self.goes_away = self.goes_away or frame_type == FrameType.GOAWAY
        super()._check_control_frame_type(frame_type)


class Protocol(QuicConnectionProtocol):
    def __init__(self, quic, owner):
        super().__init__(quic)
        self.http, self.exchanges, self.owner = Http3(quic), {}, owner

    def datagram_received(self, data, address):
        """The package does not know stateless resets either."""
        if not data[0] & 0x80 and data[-RESET_TOKEN:] in self.reset_tokens():
            self.owner.reset_at = time.monotonic()
            self.over("stateless reset")
            return
        super().datagram_received(data, address)

    def reset_tokens(self):
        ids = [self._quic._peer_cid, *self._quic._peer_cid_available]
        return {each.stateless_reset_token for each in ids if each.stateless_reset_token}

    def over(self, reason):
        self.owner.note(ended=reason)
        for exchange in self.exchanges.values():
            exchange.fail(reason)

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.exchanges:
            self.exchanges[event.stream_id].fail(f"the stream was reset with {event.error_code:#x}")
        if isinstance(event, ConnectionTerminated):
            self.over(f"closed with {event.error_code:#x} {event.reason_phrase}".strip())
        for each in self.http.handle_event(event):
            self.take(each)
        if self.http.goes_away:
            self.owner.note(told="GOAWAY")

    def take(self, event):
        exchange = self.exchanges.get(event.stream_id)
        if exchange is None:
            return
        if isinstance(event, HeadersReceived):
            exchange.status = int(dict(event.headers)[b":status"])
        elif isinstance(event, DataReceived):
            exchange.body += event.data
        if event.stream_ended and not exchange.answer.done():
            exchange.answer.set_result(None)


class Http3Connection(Connection):
    shown = {}
    """What the configuration has of earlier connections: a ticket, a token."""
    handlers = {}
    """Who is told of those that come."""

    async def open(self, path):
        configuration = QuicConfiguration(
            is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, server_name="localhost", **self.shown
        )
        quic = QuicConnection(configuration=configuration, **self.handlers)
        loop = asyncio.get_running_loop()
        make = lambda: Protocol(quic, self)  # noqa: E731
        _, self.protocol = await loop.create_datagram_endpoint(make, local_addr=("127.0.0.1", 0))
        self.protocol.connect(("127.0.0.1", self.ports["h3"]))
        await self.protocol.wait_connected()
        self.head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")]
        self.pulse = asyncio.ensure_future(self.keep_alive())

    async def keep_alive(self):
        """A client that only waits learns nothing of a server that has forgotten it."""
        while True:
            await asyncio.sleep(PULSE)
            if self.protocol.exchanges:
                self.protocol._quic.send_ping(0)
                self.protocol.transmit()

    async def ask(self, path):
        if self.told or self.ended:
            # Since it was to ask.
            return None
        number = self.protocol._quic.get_next_available_stream_id()
        self.protocol.exchanges[number] = exchange = Exchange()
        self.protocol.http.send_headers(number, [*self.head, (b":path", path.encode())], end_stream=True)
        self.protocol.transmit()
        try:
            await exchange.answer
        finally:
            del self.protocol.exchanges[number]
        return process_in(exchange.status, exchange.body)

    async def close(self):
        """Nobody waits for what may still come: the package would, for three times its probe timeout."""
        self.pulse.cancel()
        if not self.reset_at:
            self.protocol.close()
        if self.protocol._timer:
            self.protocol._timer.cancel()
        self.protocol._transport.close()
