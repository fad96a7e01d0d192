"""A rebinding NAT before a server: every few datagrams, what a client sends leaves from a new port.

nat.py PORT EVERY LINGER prints its own port. LINGER is for how many seconds an old port still takes what the server sends
there. It ends when its input does, and prints as JSON what it did.
"""

import asyncio
import collections
import json
import socket
import sys

BATCH = 64
"""Datagrams read at a time, so that what comes in a burst leaves in a burst, over several ports."""
LARGEST = 1 << 16
ROOM = 1 << 21


def opened():
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ROOM)
    one.setblocking(False)
    return one


def waiting(one):
    """What is there to be read, up to a batch."""
    for _ in range(BATCH):
        try:
            yield one.recvfrom(LARGEST)
        except (BlockingIOError, ConnectionRefusedError):
            return


class Mapping:
    """One client's: the socket that is its outside now."""

    def __init__(self, nat, client):
        self.nat, self.client = nat, client
        self.left, self.outside = 0, None

    def send(self, data):
        if self.outside is None or not self.left:
            self.rebind()
        # An address may not change before the handshake is over (RFC 9000 section 9): long headers are not counted.
        self.left -= not data[0] & 0x80
        try:
            self.outside.send(data)
        except (BlockingIOError, ConnectionRefusedError):
            self.nat.counts["lost"] += 1

    def rebind(self):
        if self.outside:
            self.nat.counts["rebinds"] += 1
            self.nat.loop.call_later(self.nat.linger, self.nat.close, self.outside)
        self.outside = opened()
        self.outside.connect(self.nat.server)
        self.nat.loop.add_reader(self.outside, self.back, self.outside)
        self.left = self.nat.every

    def back(self, outside):
        for data, _ in waiting(outside):
            self.nat.counts["back"] += 1
            self.nat.counts["late"] += outside is not self.outside
            try:
                self.nat.inside.sendto(data, self.client)
            except (BlockingIOError, ConnectionRefusedError):
                self.nat.counts["lost"] += 1


class Nat:
    def __init__(self, port, every, linger):
        self.server, self.every, self.linger = ("127.0.0.1", port), every, linger
        self.loop = asyncio.get_running_loop()
        self.counts = collections.Counter()
        self.mappings = {}
        self.inside = opened()
        self.inside.bind(("127.0.0.1", 0))
        self.loop.add_reader(self.inside, self.forth)

    def forth(self):
        for data, client in waiting(self.inside):
            self.counts["forth"] += 1
            if client not in self.mappings:
                self.mappings[client] = Mapping(self, client)
            self.mappings[client].send(data)

    def close(self, outside):
        self.loop.remove_reader(outside)
        outside.close()


async def main(port, every, linger):
    nat = Nat(port, every, linger)
    print(nat.inside.getsockname()[1], flush=True)
    await nat.loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(nat.counts | {"clients": len(nat.mappings)}), flush=True)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
