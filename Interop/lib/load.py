"""The constant load, as a process of its own."""

import collections
import json
import os
import select
import subprocess
import time

from .report import Failure, expect, short
from .world import HERE

SHARE = 40
"""Requests of a connection, so that there are always new ones."""
KINDS = {
    # Connection, connections, streams of each, path, pause in seconds, share.
    "h1": ("http1", 4, 1, "/process", 0.03, SHARE),
    "h1-tls": ("http1-tls", 2, 1, "/process", 0.05, SHARE),
    "h2": ("http2", 2, 2, "/process", 0.05, SHARE),
    "h2-tls": ("http2-tls", 1, 2, "/process", 0.05, SHARE),
    "h3": ("http3", 3, 2, "/process", 0.06, SHARE),
    "poll-h1": ("http1", 3, 1, "/poll?seconds=0.7", 0.02, SHARE),
    "poll-h2": ("http2", 1, 3, "/poll?seconds=0.7", 0.02, SHARE),
    "poll-h3": ("http3", 1, 3, "/poll?seconds=0.7", 0.02, SHARE),
    "ws": ("echo", 4, 1, "/ws/echo", 0.05, SHARE),
    "once-h1": ("http1", 2, 1, "/process", 0.02, 1),
    "once-h2": ("http2", 1, 1, "/process", 0.03, 1),
    "once-h3": ("http3", 1, 1, "/process", 0.05, 1),
    "once-ws": ("echo", 2, 1, "/ws/echo", 0.04, 1),
}
GOAWAY = ("announced GOAWAY", "GOAWAY")
POLITE = {
    "http1": ("connection: close",),
    "http1-tls": ("connection: close",),
    "http2": GOAWAY,
    "http2-tls": GOAWAY,
    "http3": GOAWAY,
    "echo": ("Close 1012", "Close 1001"),
}
"""How a connection of each sort may be told to go away."""
WAIT = 30


class Load:
    def __init__(self, world, server, kinds=KINDS, h3=None):
        """`h3` is what stands before the server for HTTP/3, if anything does."""
        interpreter = world.fetched("fetch-python-clients", "venv/bin/python")
        ports = {scheme: server.port(scheme) for scheme in ("http", "https")}
        options = {**ports, "h3": (h3 or server).port("https"), "kinds": kinds}
        self.kinds, self.unread = kinds, b""
        self.log = world.path(f"load-{time.monotonic_ns()}.log")
        with open(self.log, "wb") as errors:
            self.process = subprocess.Popen(
                [interpreter, f"{HERE}/clients/load.py", json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def answer(self):
        deadline = time.monotonic() + WAIT
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            if not piece:
                with open(self.log, errors="replace") as log:
                    raise Failure(f"the load said nothing: {log.read().strip()[-300:]}")
            self.unread += piece
        line, self.unread = self.unread.split(b"\n", 1)
        return Tally(json.loads(line), self.kinds)

    def command(self, word):
        self.process.stdin.write(word.encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def tell(self):
        return self.command("tell")

    def stop(self):
        """Lets what runs end; the last figures."""
        return self.command("stop")

    def await_progress(self, count=3, seconds=WAIT):
        """Until every kind has had so many more answers."""
        before, deadline = self.tell().done, time.monotonic() + seconds
        while waiting := [kind for kind in self.kinds if (now := self.tell()).done[kind] - before[kind] < count]:
            expect(time.monotonic() < deadline, f"no {count} answers in {seconds} s: {', '.join(waiting)}; {now.why()}")
            time.sleep(0.05)


class Tally:
    def __init__(self, told, kinds):
        self.kinds = kinds
        self.done, self.connections, self.endings = (
            collections.Counter(told.get(each, {})) for each in ("done", "connections", "endings")
        )
        self.failures, self.resets = told.get("failures", []), told.get("resets", [])
        self.slowest = told.get("slowest", 0.0)

    @property
    def requests(self):
        return sum(self.done.values())

    def why(self):
        """The failures, of which there are many alike."""
        reasons = collections.Counter(f"{each['kind']}: {each['reason']}" for each in self.failures)
        return short(reasons.most_common(4), 600)

    def nothing_failed(self):
        expect(not self.failures, f"{len(self.failures)} of {self.requests} requests failed: {self.why()}")
        for kind in self.kinds:
            expect(self.done[kind], f"nothing was asked over {kind}")

    def politely(self):
        """Whoever was told to go away was told as its protocol has it, and nobody was cut off without a word."""
        rude = {ending: count for ending, count in self.endings.items() if not self.is_polite(*ending.split(": ", 1))}
        expect(not rude, f"connections ended otherwise than they should: {rude}")

    def is_polite(self, kind, how):
        return how in POLITE[self.kinds[kind][0]]

    def __str__(self):
        told = sum(self.endings.values())
        return f"{self.requests} requests on {sum(self.connections.values())} connections, {told} told to go away"
