"""HTTP/3: sixteen of ngtcp2's clients at a time."""

import contextlib
import glob
import json
import os
import shutil
import subprocess
import time
from dataclasses import replace

from lib.report import Failure

from .load import CONNECTIONS, GRACE, Latency, Outcome
from .process import pinned

PADDING = "?" + "0123456789" * 3
"""Makes requests so long that the client can log a packet full of them: it leaves out what it has no room for."""
LEAST = 0.5
"""Seconds that tell a rate: less is the handshakes'."""


class QuicClients:
    """Each has as many streams open as the server allows, which is a hundred with the servers here, and opens the next one
    when one ends. A quiet client says nothing when all of its requests ended, and says what happened otherwise."""

    describes = f"{CONNECTIONS} of ngtcp2's clients, MTU 1500"

    def __init__(self, world, core, network):
        self.program = world.tool("gtlsclient", "ngtcp2-client, from backports")
        self.core, self.network = core, network
        self.logs = world.path("qlog")
        self.start = 0.0
        """Seconds until all clients are connected."""
        self.each = 1
        """Requests a client that last about a second."""

    def warm_up(self, target):
        self.start = self.clients(target, 1, 10)
        count = 50
        outcome = self.requests(target, count, 10)
        while outcome.seconds < LEAST:
            count *= 4
            outcome = self.requests(target, count, 10)
        self.each = max(1, int(count / outcome.seconds))

    def run(self, target, seconds):
        outcome = self.requests(target, self.each * seconds, seconds)
        self.each = max(1, int(outcome.requests / CONNECTIONS / outcome.seconds))
        return outcome

    def requests(self, target, count, seconds, *more):
        """The clients' start, of which most is their own, is not the server's time."""
        elapsed = self.clients(target, count, seconds, *more)
        return Outcome(count * CONNECTIONS, max(elapsed - self.start, elapsed / 10))

    def clients(self, target, count, seconds, *more):
        options = ["--quiet", f"--nstreams={count}", "--exit-on-all-streams-close", "--handshake-timeout=10s", *more]
        command = [self.program, *options, "127.0.0.1", str(target.port), target.url]
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(self.client(command)) for _ in range(CONNECTIONS)]
            # Their number was chosen for the server's idle rate: allow for half of that.
            deadline = began + 2 * seconds + GRACE
            for client in running:
                client.finish(deadline - time.monotonic())
        return time.monotonic() - began

    def client(self, command):
        return Client(pinned(self.core, self.network.inside(command)))

    def latency(self, target, outcome):
        """From about half a second of its own, of which the clients write a log, in whole milliseconds."""
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        count = max(1, self.each // 2)
        self.clients(replace(target, path=target.path + PADDING), count, 1, f"--qlog-dir={self.logs}")
        times = [each for log in glob.glob(f"{self.logs}/*") for each in request_times(log)]
        if len(times) < count * CONNECTIONS / 2:
            raise Failure(f"{len(times)} of {count * CONNECTIONS} requests have an answer in the clients' logs")
        return Latency.of(times)


class Client:
    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def finish(self, seconds):
        try:
            said, _ = self.process.communicate(timeout=max(0, seconds))
        except subprocess.TimeoutExpired:
            raise Failure("ngtcp2's clients were not done in time") from None
        if said or self.process.returncode:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
            raise Failure(f"ngtcp2's client ended with exit code {self.process.returncode} {last[0]}")


def request_times(log):
    """Milliseconds from the first byte of each request to the last one of its response."""
    sent = {}
    for name, moment, frame in stream_frames(log):
        if name == "transport:packet_sent":
            sent.setdefault(frame["stream_id"], moment)
        elif frame.get("fin") and frame["stream_id"] in sent:
            yield moment - sent.pop(frame["stream_id"])


def stream_frames(log):
    with open(log) as lines:
        for line in lines:
            if '"frame_type":"stream"' not in line:
                continue
            event = json.loads(line.lstrip("\x1e"))
            for frame in event["data"]["frames"]:
                # RFC 9000 §2.1: the client's bidirectional streams, which carry the requests.
                if frame["frame_type"] == "stream" and frame["stream_id"] % 4 == 0:
                    yield event["name"], event["time"], frame
