"""One HTTP/3 request that no command-line client makes, by aioquic. Prints as JSON what came back.

Run with the interpreter that Interop/fetch-python-clients prints: http3.py URL '{"body": "...", ...}'
"""

import asyncio
import json
import ssl
import sys
from urllib.parse import urlsplit

from aioquic.asyncio import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset


class Client(QuicConnectionProtocol):
    """Collects all that comes until the stream or the connection ends."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.sections = []
        self.body = b""
        self.end = asyncio.get_running_loop().create_future()

    def finish(self, how, code=None):
        if not self.end.done():
            self.end.set_result({"end": how, "code": code})

    def quic_event_received(self, event):
        if isinstance(event, StreamReset):
            self.finish("reset", event.error_code)
        if isinstance(event, ConnectionTerminated):
            self.finish("closed", event.error_code)
        for event in self.http.handle_event(event):
            if isinstance(event, HeadersReceived):
                self.sections.append([(name.decode(), value.decode()) for name, value in event.headers])
            if isinstance(event, DataReceived):
                self.body += event.data
            if event.stream_ended:
                self.finish("complete")


def encoded(pairs):
    return [(name.encode(), value.encode()) for name, value in pairs]


async def ask(url, what):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
    async with connect(url.hostname, url.port, configuration=configuration, create_protocol=Client) as client:
        target = url.path + (f"?{url.query}" if url.query else "")
        head = [(":method", what.get("method", "POST")), (":scheme", "https"), (":authority", url.netloc)]
        head += [(":path", target), *what.get("fields", [])]
        stream = client._quic.get_next_available_stream_id()
        client.http.send_headers(stream, encoded(head))
        client.http.send_data(stream, what.get("body", "").encode(), end_stream="trailers" not in what)
        if "trailers" in what:
            client.http.send_headers(stream, encoded(what["trailers"]), end_stream=True)
        client.transmit()
        outcome = await asyncio.wait_for(client.end, what.get("timeout", 10))
        return outcome | {"sections": client.sections, "body": client.body.decode("utf-8", "replace")}


print(json.dumps(asyncio.run(ask(urlsplit(sys.argv[1]), json.loads(sys.argv[2])))))
