"""Requests side by side on one connection of HTTP/2, by the package h2."""

import asyncio

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset

from load_connection import Connection, process_in
from load_http1 import tls_context

PLENTY = (1 << 31) - 1 - 65535
LAST_OF_ALL = (1 << 31) - 1
"""The last stream of a GOAWAY that only announces another (RFC 9113 section 6.8)."""


class Going(H2Connection):
    """The package takes a GOAWAY for the end; but streams up to the last that it names go on."""

    def _receive_goaway_frame(self, frame):
        event = ConnectionTerminated()
        event.last_stream_id, event.error_code = frame.last_stream_id, frame.error_code
        return [], [event]


class Exchange:
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()
        self.status, self.body = None, b""

    def fail(self, reason):
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(reason))


class Http2Connection(Connection):
    async def open(self, path):
        port = self.ports["https" if self.secure else "http"]
        context = tls_context("h2") if self.secure else None
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        self.head = [(":method", "GET"), (":scheme", "https" if self.secure else "http"), (":authority", "localhost")]
        self.exchanges = {}
        self.http = Going(H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.http.increment_flow_control_window(PLENTY)
        self.flush()
        self.reading = asyncio.ensure_future(self.read_all())

    def flush(self):
        self.writer.write(self.http.data_to_send())

    async def ask(self, path):
        if self.told or self.ended:
            # Since it was to ask.
            return None
        number = self.http.get_next_available_stream_id()
        self.exchanges[number] = exchange = Exchange()
        self.http.send_headers(number, [*self.head, (":path", path)], end_stream=True)
        self.flush()
        try:
            await exchange.answer
        finally:
            del self.exchanges[number]
        return process_in(exchange.status, exchange.body)

    async def read_all(self):
        reason = "the connection ended"
        try:
            while data := await self.reader.read(1 << 16):
                for event in self.http.receive_data(data):
                    self.take(event)
                self.flush()
        except Exception as error:
            reason = f"the connection ended: {error}"
        self.note(ended="closed")
        for exchange in self.exchanges.values():
            exchange.fail(reason)

    def take(self, event):
        if isinstance(event, ConnectionTerminated):
            self.go_away(event)
            return
        exchange = self.exchanges.get(getattr(event, "stream_id", None))
        if exchange is None:
            return
        if isinstance(event, ResponseReceived):
            exchange.status = int(dict(event.headers)[":status"])
        elif isinstance(event, DataReceived):
            exchange.body += event.data
        elif isinstance(event, StreamReset):
            exchange.fail(f"the stream was reset with {int(event.error_code)}")
        elif isinstance(event, StreamEnded) and not exchange.answer.done():
            exchange.answer.set_result(None)

    def go_away(self, event):
        announced = "announced " if event.last_stream_id == LAST_OF_ALL else ""
        code = "" if event.error_code == 0 else f" with {int(event.error_code)}"
        self.note(told=f"{announced}GOAWAY{code}")
        for number, exchange in self.exchanges.items():
            if number > event.last_stream_id:
                exchange.fail(f"stream {number} is behind the last of a GOAWAY, {event.last_stream_id}")

    async def close(self):
        self.reading.cancel()
        self.writer.transport.abort()


class Http2TLSConnection(Http2Connection):
    secure = True
