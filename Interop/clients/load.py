"""A constant load of well-behaved clients, which notice what a server that changes its processes does to them.

load.py '{"http": PORT, "https": PORT, "h3": PORT, "kinds": {"NAME": [CONNECTION, CONNECTIONS, STREAMS, PATH, PAUSE, SHARE]}}'

Each connection of a kind makes requests, so many at a time, with a pause (seconds) behind each, until the server tells it to
go away, or it has made its share of requests; then it is closed and another is opened. Commands are lines: `tell` prints as JSON what has
come so far, `stop` lets what runs end first, and is the last.
"""

import asyncio
import json
import sys
import time
from collections import Counter

from load_http1 import Http1Connection, Http1TLSConnection
from load_http2 import Http2Connection, Http2TLSConnection
from load_http3 import Http3Connection
from load_websocket import EchoConnection

CONNECTIONS = {
    "http1": Http1Connection,
    "http1-tls": Http1TLSConnection,
    "http2": Http2Connection,
    "http2-tls": Http2TLSConnection,
    "http3": Http3Connection,
    "echo": EchoConnection,
}
LIMIT = 20
"""Seconds for an answer."""


class Tally:
    def __init__(self):
        self.stopping = False
        self.done, self.connections, self.endings = Counter(), Counter(), Counter()
        self.failures, self.resets = [], []
        self.slowest = 0.0

    def failed(self, kind, connection, error):
        """Who comes late to a request, for want of a core, may have had the connection since long."""
        reason = str(error) or type(error).__name__
        known = {"kind": kind, "reason": reason[:150], "process": connection.process}
        self.failures.append(known | {"began": connection.began, "at": time.monotonic()})

    def told(self):
        return {
            "done": self.done,
            "connections": self.connections,
            "endings": self.endings,
            "failures": self.failures,
            "resets": self.resets,
            "slowest": self.slowest,
        }


class Life:
    """One connection after the other."""

    def __init__(self, tally, ports, kind, made, streams, path, pause, share):
        self.tally, self.ports, self.kind = tally, ports, kind
        self.made, self.streams, self.path = CONNECTIONS[made], streams, path
        self.pause, self.share = pause, share

    async def run(self):
        while not self.tally.stopping:
            connection = self.made(self.ports)
            self.tally.connections[self.kind] += 1
            try:
                await asyncio.wait_for(connection.open(self.path), LIMIT)
            except Exception as error:
                self.tally.failed(self.kind, connection, f"opening: {str(error) or type(error).__name__}")
                await asyncio.sleep(0.1)
                continue
            await asyncio.gather(*(self.requests(connection) for _ in range(self.streams)))
            self.note_end(connection)
            await connection.close()

    async def requests(self, connection):
        while not (self.tally.stopping or connection.told or connection.ended or connection.asked >= self.share):
            connection.asked += 1
            began = time.monotonic()
            try:
                process = await asyncio.wait_for(connection.ask(self.path), LIMIT)
            except Exception as error:
                self.tally.failed(self.kind, connection, error)
                connection.ended = connection.ended or "failed"
                return
            if process:
                self.tally.done[self.kind] += 1
                connection.process = process
                self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
            await connection.rest(self.pause)

    def note_end(self, connection):
        """How it was told to go away, or that it ended without a word."""
        if connection.reset_at:
            known = {"process": connection.process, "began": connection.began, "at": connection.reset_at}
            self.tally.resets.append(known)
        if connection.told or connection.ended:
            self.tally.endings[f"{self.kind}: {connection.told or f'{connection.ended}, without a word'}"] += 1


async def main(options):
    tally = Tally()
    lives = [
        Life(tally, options, kind, made, streams, path, pause, share)
        for kind, (made, count, streams, path, pause, share) in options["kinds"].items()
        for _ in range(count)
    ]
    running = [asyncio.ensure_future(life.run()) for life in lives]
    print("{}", flush=True)
    loop = asyncio.get_running_loop()
    while (command := (await loop.run_in_executor(None, sys.stdin.readline)).strip()) == "tell":
        print(json.dumps(tally.told()), flush=True)
    tally.stopping = True
    if command == "stop":
        await asyncio.gather(*running)
        print(json.dumps(tally.told()), flush=True)


asyncio.run(main(json.loads(sys.argv[1])))
