"""Streams of one HTTP/3 connection, by aioquic."""

import asyncio
import ssl

from aioquic.asyncio import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

from ws_stream import Stream

WINDOW = 1 << 24
REQUEST_CANCELLED = 0x10C
STEP = 1 << 16
MOST_WAITING = 1 << 20
"""Bytes that may wait for the peer's window before a write waits too."""


class Protocol(QuicConnectionProtocol):
    is_lost = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.streams = {}
        self.settings = asyncio.get_running_loop().create_future()

    def quic_event_received(self, event):
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            self.streams[event.stream_id].finish(f"reset with {event.error_code:#x}")
        if isinstance(event, ConnectionTerminated):
            self.is_lost = True
            for stream in self.streams.values():
                stream.finish(f"lost with {event.error_code:#x}")
        for each in self.http.handle_event(event):
            self.take(each)
        if self.http.received_settings is not None and not self.settings.done():
            self.settings.set_result({int(code): value for code, value in self.http.received_settings.items()})

    def take(self, event):
        stream = self.streams.get(event.stream_id)
        if isinstance(event, HeadersReceived) and not stream.answer.done():
            headers = [(name.decode(), value.decode()) for name, value in event.headers]
            stream.answer.set_result((int(dict(headers)[":status"]), headers))
        if isinstance(event, DataReceived) and event.data:
            stream.data.put_nowait(event.data)
        if event.stream_ended:
            stream.finish("fin")


class Http3Tunnel:
    """The first stream is the tunnel, others are requests beside it."""

    def __init__(self, window=WINDOW):
        """`window` is a stream's; the connection's stays as it is."""
        self.window = window

    async def connect(self, url):
        """Gives the peer's settings, by number."""
        self.authority = url.netloc
        configuration = QuicConfiguration(
            is_client=True,
            alpn_protocols=["h3"],
            verify_mode=ssl.CERT_NONE,
            max_data=WINDOW,
            max_stream_data=self.window,
        )
        self.context = connect(url.hostname, url.port, configuration=configuration, create_protocol=Protocol)
        self.protocol = await self.context.__aenter__()
        return await self.protocol.settings

    def ask(self, head, end_stream):
        """Sends a request's head; gives its stream's number."""
        number = self.protocol._quic.get_next_available_stream_id()
        self.protocol.streams[number] = Stream()
        encoded = [(name.encode(), value.encode()) for name, value in head]
        self.protocol.http.send_headers(number, encoded, end_stream)
        self.protocol.transmit()
        return number

    def stream(self, number):
        return self.protocol.streams[number]

    async def begin(self, head, end_stream):
        number = self.ask(head, end_stream)
        return number, await self.protocol.streams[number].answer

    async def open(self, head):
        self.tunnel, answer = await self.begin(head, False)
        return answer

    async def get(self, path):
        head = [(":method", "GET"), (":scheme", "https"), (":authority", self.authority), (":path", path)]
        _, (status, _) = await self.begin(head, True)
        return status

    @property
    def is_lost(self):
        return self.protocol.is_lost

    @property
    def ending(self):
        return self.protocol.streams[self.tunnel].ending

    async def read(self):
        return await self.protocol.streams[self.tunnel].data.get()

    async def rest(self):
        pieces = []
        while (piece := await self.read()) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    def waiting(self, number):
        """Bytes of a stream that the peer has not acknowledged."""
        if self.protocol.streams[number].ending:
            raise ConnectionError("the stream is over")
        sender = self.protocol._quic._streams[number].sender
        return sender._buffer_stop - sender._buffer_start

    async def write(self, data, stream=None):
        number = self.tunnel if stream is None else stream
        for start in range(0, len(data), STEP):
            while self.waiting(number) > MOST_WAITING:
                await asyncio.sleep(0.005)
            self.protocol.http.send_data(number, bytes(data[start : start + STEP]), False)
            self.protocol.transmit()

    async def leave(self):
        self.protocol.close()
        self.protocol.transmit()

    async def crumble(self, data, number):
        """In DATA frames of one byte (RFC 9114 section 7.2.1)."""
        self.protocol._quic.send_stream_data(number, b"".join(b"\0\1" + data[at : at + 1] for at in range(len(data))))
        self.protocol.transmit()
        while self.waiting(number):
            await asyncio.sleep(0.005)

    def stop_reading(self, number):
        """The stream's window stays where it is: aioquic would move it as bytes come."""
        self.protocol._quic._streams[number].max_stream_data_local_sent = 1 << 60
        self.protocol._quic._streams[number].max_stream_data_local = 1 << 60

    def reset(self, number):
        self.protocol._quic.reset_stream(number, REQUEST_CANCELLED)
        self.protocol.streams[number].finish("reset by us")
        self.protocol.transmit()

    async def end(self, how):
        if how == "reset":
            self.protocol._quic.reset_stream(self.tunnel, REQUEST_CANCELLED)
        else:
            self.protocol.http.send_data(self.tunnel, b"", True)
        self.protocol.transmit()
