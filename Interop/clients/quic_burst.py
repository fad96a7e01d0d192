"""Many connections of HTTP/3 on one socket, whose datagrams leave in trains that the kernel hands over as one.

quic_burst.py PORT CONNECTIONS REQUESTS SIZE lets each connection make so many requests with bodies of SIZE bytes, and prints as
JSON how many were answered, with the processes, and how many datagrams left in trains of several connections.
"""

import json
import select
import socket
import ssl
import struct
import sys
import time
from collections import Counter, defaultdict
from itertools import chain, zip_longest

from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, ProtocolNegotiated

UDP_SEGMENT = 103
LONGEST = 30
"""Datagrams of a train."""
LIMIT = 40
"""Seconds for all."""
AT_ONCE = 4
"""Requests of a connection."""


class Peer:
    def __init__(self, server, requests, body):
        configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE)
        self.quic = QuicConnection(configuration=configuration)
        self.left, self.body, self.running = requests, body, {}
        self.answers, self.http, self.ended = Counter(), None, None
        self.quic.connect(server, now=time.monotonic())

    @property
    def done(self):
        return self.ended or not self.left and not self.running

    def turn(self):
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, ProtocolNegotiated):
                self.http = H3Connection(self.quic)
            if isinstance(event, ConnectionTerminated):
                self.ended = f"{event.error_code:#x} {event.reason_phrase}"
            for each in self.http.handle_event(event) if self.http else ():
                self.take(each)
        while self.http and self.left and len(self.running) < AT_ONCE:
            self.ask("/process" if self.left % 2 else "/body-count")
            self.left -= 1

    def ask(self, path):
        number = self.quic.get_next_available_stream_id()
        self.running[number] = b""
        head = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path.encode())]
        self.http.send_headers(number, head)
        self.http.send_data(number, self.body, True)

    def take(self, event):
        if isinstance(event, HeadersReceived) and dict(event.headers)[b":status"] != b"200":
            self.answers["refused"] += 1
        if isinstance(event, DataReceived):
            self.running[event.stream_id] += event.data
        if event.stream_ended:
            body = self.running.pop(event.stream_id).decode().strip()
            self.answers["counted" if body == str(len(self.body)) else body] += 1


class Burst:
    def __init__(self, port, connections, requests, size):
        self.server = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.peers = [Peer(self.server, requests, b"x" * size) for _ in range(connections)]
        self.mixed = 0

    def run(self):
        end = time.monotonic() + LIMIT
        while not all(peer.done for peer in self.peers) and time.monotonic() < end:
            for peer in self.peers:
                peer.turn()
            self.send()
            timers = [timer for peer in self.peers if (timer := peer.quic.get_timer()) is not None]
            select.select([self.socket], [], [], max(0, min([*timers, end]) - time.monotonic()))
            self.receive()
            now = time.monotonic()
            for peer in self.peers:
                if (timer := peer.quic.get_timer()) is not None and timer <= now:
                    peer.quic.handle_timer(now)

    def close(self):
        for peer in self.peers:
            peer.quic.close()
        self.send()

    def send(self):
        """Of all connections in turn, by size: what is of one size makes trains."""
        now = time.monotonic()
        boxes = [[(peer, data) for data, _ in peer.quic.datagrams_to_send(now)] for peer in self.peers]
        by_size = defaultdict(list)
        for peer, data in filter(None, chain.from_iterable(zip_longest(*boxes))):
            by_size[len(data)].append((peer, data))
        for size, found in by_size.items():
            longest = min(LONGEST, 60_000 // size)
            for start in range(0, len(found), longest):
                self.send_train(size, found[start : start + longest])

    def send_train(self, size, train):
        if len({id(peer) for peer, _ in train}) > 1:
            self.mixed += len(train)
        cut = [(socket.SOL_UDP, UDP_SEGMENT, struct.pack("H", size))] if len(train) > 1 else []
        try:
            self.socket.sendmsg([data for _, data in train], cut, 0, self.server)
        except BlockingIOError:
            pass  # As if it were lost.

    def receive(self):
        owners = {each.cid: peer for peer in self.peers for each in peer.quic._host_cids}
        for _ in range(500):
            try:
                data, address = self.socket.recvfrom(1 << 16)
            except BlockingIOError:
                return
            start = 6 if data[0] & 0x80 else 1
            if peer := owners.get(data[start : start + 8]):
                peer.quic.receive_datagram(data, address, now=time.monotonic())

    def told(self):
        answers = sum((peer.answers for peer in self.peers), Counter())
        ended = [peer.ended for peer in self.peers if peer.ended]
        reached = [next((each for each in peer.answers if each.isdigit()), None) for peer in self.peers]
        return {"answers": answers, "ended": ended, "mixed": self.mixed, "reached": reached}


burst = Burst(*map(int, sys.argv[1:]))
burst.run()
burst.close()
print(json.dumps(burst.told()))
