"""Requests side by side on one connection of HTTP/3, by aioquic."""

import asyncio
import ssl
import time

from aioquic.asyncio import connect
from aioquic.h3.connection import FrameType, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

from aioquic.asyncio.protocol import QuicConnectionProtocol
from load_connection import Connection, process_in
from load_http2 import Exchange

RESET_TOKEN = 16
"""Bytes at the end of a stateless reset (RFC 9000 section 10.3)."""


class Http3(H3Connection):
    """The package reads over a GOAWAY (RFC 9114 section 5.2)."""

    goes_away = False

    def _check_control_frame_type(self, frame_type):
        self.goes_away = self.goes_away or frame_type == FrameType.GOAWAY
        super()._check_control_frame_type(frame_type)


class Protocol(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = Http3(self._quic)
        self.exchanges = {}
        self.owner = None

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
        if isinstance(event, ConnectionTerminated) and self.owner:
            self.over(f"closed with {event.error_code:#x} {event.reason_phrase}".strip())
        for each in self.http.handle_event(event):
            self.take(each)
        if self.http.goes_away and self.owner:
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
    async def open(self, path):
        configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
        self.context = connect("127.0.0.1", self.ports["h3"], configuration=configuration, create_protocol=Protocol)
        self.protocol = await self.context.__aenter__()
        self.protocol.owner = self
        self.head = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost")]

    async def ask(self, path):
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
        if self.reset_at:
            # There is nobody to say goodbye to.
            self.protocol._transport.close()
            self.protocol._timer and self.protocol._timer.cancel()
            return
        try:
            await asyncio.wait_for(self.context.__aexit__(None, None, None), 5)
        except TimeoutError:
            self.note(ended="did not close")
