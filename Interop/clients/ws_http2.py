"""Streams of one HTTP/2 connection, by the package h2: frame by frame, nothing hidden."""

import asyncio
import ssl

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RemoteSettingsChanged, ResponseReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes

from ws_stream import Stream

WINDOW = 1 << 24
CANCEL = 8


class Connection(H2Connection):
    """The package takes any GOAWAY for the end; but streams up to the last that it names go on (RFC 9113 section 6.8)."""

    def _receive_goaway_frame(self, frame):
        return [], []


class Http2Tunnel:
    """The first stream is the tunnel, others are requests beside it."""

    ended = False
    """Our side of it."""
    is_lost = False
    """The connection."""

    def __init__(self, window=WINDOW):
        """`window` is a stream's; the connection's stays as it is."""
        self.window = window
        self.unread = set()
        """The streams whose window does not open again."""

    async def connect(self, url):
        """Gives the peer's settings, by number."""
        self.authority, self.scheme = url.netloc, url.scheme
        context = tls_context() if url.scheme == "https" else None
        self.reader, self.writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
        # Names and values go out as they are, so that the server is the one that judges them.
        configuration = H2Configuration(header_encoding="utf-8", validate_outbound_headers=False)
        self.http = Connection(configuration)
        self.streams, self.settings = {}, asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self.http.initiate_connection()
        self.http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: self.window})
        self.http.increment_flow_control_window(WINDOW)
        self.flush()
        self.reading = asyncio.ensure_future(self.read_all())
        return await self.settings

    def flush(self):
        self.writer.write(self.http.data_to_send())

    async def read_all(self):
        try:
            while data := await self.reader.read(1 << 16):
                for event in self.http.receive_data(data):
                    self.take(event)
                self.flush()
                self.changed.set()
        except ConnectionError:
            pass
        self.lost()

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, RemoteSettingsChanged) and not self.settings.done():
            self.settings.set_result({int(code): each.new_value for code, each in event.changed_settings.items()})
        elif isinstance(event, ResponseReceived):
            headers = list(event.headers)
            stream.answer.set_result((int(dict(headers)[":status"]), headers))
        elif isinstance(event, DataReceived):
            if event.stream_id not in self.unread:
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream.data.put_nowait(event.data)
        elif isinstance(event, StreamEnded):
            stream.finish("fin")
        elif isinstance(event, StreamReset):
            stream.finish(f"reset with {int(event.error_code)}")

    def lost(self):
        self.is_lost = True
        self.changed.set()
        for stream in self.streams.values():
            stream.finish("lost")

    def ask(self, head, end_stream):
        """Sends a request's head; gives its stream's number."""
        number = self.http.get_next_available_stream_id()
        self.streams[number] = Stream()
        self.http.send_headers(number, head, end_stream=end_stream)
        self.flush()
        return number

    def stream(self, number):
        return self.streams[number]

    async def begin(self, head, end_stream):
        number = self.ask(head, end_stream)
        return number, await self.streams[number].answer

    async def open(self, head):
        self.tunnel, answer = await self.begin(head, False)
        return answer

    async def get(self, path):
        head = [(":method", "GET"), (":scheme", self.scheme), (":authority", self.authority), (":path", path)]
        _, (status, _) = await self.begin(head, True)
        return status

    @property
    def ending(self):
        return self.streams[self.tunnel].ending

    async def read(self):
        return await self.streams[self.tunnel].data.get()

    async def rest(self):
        pieces = []
        while (piece := await self.read()) is not None:
            pieces.append(piece)
        return b"".join(pieces)

    async def write(self, data, stream=None):
        """As far as the windows allow; waits where they do not."""
        number = self.tunnel if stream is None else stream
        data = memoryview(data)
        while data:
            if self.streams[number].ending or self.ended:
                raise ConnectionError("the stream is over")
            self.changed.clear()
            room = min(self.http.local_flow_control_window(number), self.http.max_outbound_frame_size)
            if room <= 0:
                await self.changed.wait()
                continue
            self.http.send_data(number, bytes(data[:room]))
            data = data[room:]
            self.flush()
            await self.writer.drain()

    async def leave(self):
        self.writer.close()

    async def crumble(self, data, number):
        """In DATA frames of one byte, past the package's own account of the windows."""
        head = b"\0\0\1\0\0" + number.to_bytes(4, "big")
        self.writer.write(b"".join(head + data[at : at + 1] for at in range(len(data))))
        await self.writer.drain()

    def stop_reading(self, number):
        self.unread.add(number)

    def reset(self, number):
        self.http.reset_stream(number, CANCEL)
        self.streams[number].finish("reset by us")
        self.flush()

    async def end(self, how):
        if how == "reset":
            self.http.reset_stream(self.tunnel, CANCEL)
        else:
            self.http.end_stream(self.tunnel)
        self.ended = True
        self.changed.set()
        self.flush()


def tls_context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
