"""A WebSocket client over each version of HTTP: `websockets` on HTTP/1.1, `h2` and `aioquic` with `wsproto` on the others."""

import json
import os
import select
import subprocess
import time

from .report import Failure
from .world import HERE

ACCEPTED = {"1.1": 101, "2": 200, "3": 200}
ENABLE_CONNECT_PROTOCOL = "8"
"""RFC 8441 section 3, RFC 9220 section 3."""
WAIT = 25
"""Seconds; the client itself gives up on a command before."""


class Client:
    """The process, and what it tells; commands are methods that give what came of them."""

    program = "websocket.py"

    def __init__(self, world, protocol, url, **options):
        interpreter = world.fetched("fetch-python-clients", "venv/bin/python")
        options["http"] = protocol.version
        self.process = subprocess.Popen(
            [interpreter, f"{HERE}/clients/{self.program}", url, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.unread = b""
        self.answer = self.told()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        """Its connection ends in order, the WebSocket as it may."""
        try:
            self.process.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def told(self):
        deadline = time.monotonic() + WAIT
        while b"\n" not in self.unread:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise Failure(f"the client said nothing: {self.complaint(killed=not ready)}")
            self.unread += piece
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def complaint(self, killed):
        if killed:
            return f"not done after {WAIT} s"
        return self.process.stderr.read().decode("utf-8", "replace").strip()[-300:]

    def begin(self, command, **what):
        """What comes of it is to be fetched with `told`."""
        self.process.stdin.write(json.dumps({"do": command, **what}).encode() + b"\n")
        self.process.stdin.flush()

    def do(self, command, **what):
        self.begin(command, **what)
        answer = self.told()
        if "error" in answer:
            raise Failure(f"{command}: {answer['error']}")
        return answer

    def echoed(self, **message):
        """Sends a message and waits for one; both must be the same."""
        sent, came = self.do("send", **message), self.do("receive")
        if sent != came:
            raise Failure(f"{short_of(message)}: sent {short_of(sent)}, came {short_of(came)}")

    def closed(self):
        """Waits for the peer's Close frame; gives its code and reason, or 1006 where the tunnel ended without."""
        while "close" not in (event := self.do("receive")):
            pass
        return event["close"], event["reason"]


def short_of(value):
    return str(value)[:150]


def attempt(world, server, protocol, path, **options):
    """The answer to an opening, whatever it is."""
    return Client(world, protocol, server.url(protocol, path), **options)


def connect(world, server, protocol, path, **options):
    """An open WebSocket."""
    client = attempt(world, server, protocol, path, **options)
    if client.answer.get("status") != ACCEPTED[protocol.version]:
        client.kill()
        raise Failure(f"the opening was answered with {short_of(client.answer)}")
    return client


def fields(client, name):
    return [value for key, value in client.answer["headers"] if key.lower() == name]
