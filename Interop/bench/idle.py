"""WebSockets that stay open and say nothing but pongs."""

import select
import socket
import ssl
import zlib

from .h2_frames import accept_settings, data_frames, open_stream, opening, pong_in
from .ws_frames import COMPRESSED, PING, PONG, TEXT, accepted, frame, upgrade

EACH_SOURCE = 5000
"""Connections from one address of this machine: there are fewer ports than some would like."""
STREAMS = 100
"""WebSockets on one connection of HTTP/2."""
TEXT_TO_COMPRESS = b"a message that says the same again and again, " * 20


class Plain:
    """On HTTP/1.1 in plaintext."""

    name = "http/1.1"
    each = 1
    """WebSockets of one connection."""
    fields = ()

    def __init__(self, world, server):
        self.port = server.port("http")

    def connection(self, number):
        source = f"127.0.{1 + number // EACH_SOURCE}.1"
        return socket.create_connection(("127.0.0.1", self.port), 10, source_address=(source, 0))

    def open(self, number):
        connection = self.connection(number)
        connection.sendall(upgrade("/", self.port, *self.fields))
        self.begin(connection, accepted(connection))
        return connection

    def begin(self, connection, head):
        """What there is to say before it falls silent."""

    def answer(self, data):
        """The pongs to the pings in what came: they come alone, for nothing else is going on."""
        answers = b""
        while len(data) >= 2 and data[0] == 0x80 | PING:
            end = 2 + data[1]
            answers += frame(PONG, data[2:end])
            data = data[end:]
        return answers


class Deflated(Plain):
    """One compressed message has gone each way."""

    name = "http/1.1, deflate"
    fields = ("sec-websocket-extensions: permessage-deflate; client_max_window_bits",)

    def begin(self, connection, head):
        if b"permessage-deflate" not in head:
            raise ConnectionError("no compression was agreed on")
        deflater = zlib.compressobj(wbits=-15)
        # RFC 7692 section 7.2.1: without the empty block at the end.
        payload = (deflater.compress(TEXT_TO_COMPRESS) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        connection.sendall(frame(TEXT, payload, COMPRESSED))
        echo = connection.recv(4096)
        if not echo[0] & COMPRESSED or echo[1] != len(echo) - 2:
            raise ConnectionError(f"the echo is not compressed: {echo[:20]!r}")


class Secure(Plain):
    name = "http/1.1, tls"

    def __init__(self, world, server):
        self.port = server.port("https")
        self.context = ssl.create_default_context(cafile=world.certificate)
        self.context.set_alpn_protocols(["http/1.1"])

    def connection(self, number):
        return self.context.wrap_socket(super().connection(number), server_hostname="localhost")


class Multiplexed(Plain):
    name = f"http/2, {STREAMS} a connection"
    each = STREAMS

    def open(self, number):
        connection = self.connection(number)
        connection.sendall(opening())
        accept_settings(connection)
        for stream in range(1, 2 * STREAMS, 2):
            open_stream(connection, stream, f"127.0.0.1:{self.port}")
        return connection

    def answer(self, data):
        return b"".join(
            pong_in(stream, super(Multiplexed, self).answer(payload)) for stream, payload in data_frames(data)
        )


KINDS = (Plain, Deflated, Secure, Multiplexed)


class Crowd:
    """So many of a kind. They answer pings as long as `serve` runs."""

    def __init__(self, kind, count):
        self.kind, self.members, self.poll = kind, {}, select.epoll()
        for number in range(count // kind.each):
            member = kind.open(number)
            member.setblocking(False)
            self.members[member.fileno()] = member
            self.poll.register(member, select.EPOLLIN)
            # Those who came first are pinged while the last ones are not there yet.
            self.serve(0)

    def __len__(self):
        return len(self.members) * self.kind.each

    def serve(self, seconds):
        """Answers what comes, for which it waits so long; a connection that ends leaves the crowd."""
        for number, _ in self.poll.poll(seconds, 1000):
            member = self.members[number]
            try:
                data = member.recv(65536)
                if data:
                    member.send(self.kind.answer(data))
                    continue
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            except OSError:
                pass
            self.poll.unregister(number)
            self.members.pop(number).close()

    def close(self):
        self.poll.close()
        for member in self.members.values():
            member.close()
