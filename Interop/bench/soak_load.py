"""Much of one thing: of requests, or of bytes. Each gives clients to start, and says what must have come of them."""

import re

from lib.protocols import H3
from lib.report import Failure
from lib.server import MIB

from .fetch import fetched
from .load import CONNECTIONS, HTTP1_CONNECTIONS, STREAMS

GIB = 1024 * MIB


class Requests:
    """So many requests for the same 13 bytes, on connections that stay open."""

    app = "hello"

    def __init__(self, world, protocol, count):
        self.world, self.protocol = world, protocol
        # As many as there are connections, and the same number on each.
        self.each = max(HTTP1_CONNECTIONS // CONNECTIONS, int(count) // CONNECTIONS)
        self.count = self.each * CONNECTIONS

    def __str__(self):
        return f"{self.count:,} requests"

    def clients(self, server):
        url, port = server.url(self.protocol), server.port("https")
        if self.protocol is H3:
            program = self.world.tool("gtlsclient", "ngtcp2-client, from backports")
            usual = ["--quiet", f"--nstreams={self.each}", "--exit-on-all-streams-close", "--handshake-timeout=10s"]
            return [[program, *usual, "127.0.0.1", str(port), url]] * CONNECTIONS
        program = self.world.tool("h2load", "nghttp2-client")
        http1 = ["--h1", f"-c{HTTP1_CONNECTIONS}"]
        shape = http1 if self.protocol.version == "1.1" else [f"-c{CONNECTIONS}", f"-m{STREAMS}"]
        return [[program, "-t1", *shape, "-n", str(self.count), url]]

    def check(self, text):
        """ngtcp2's client is silent when all went well."""
        if self.protocol is H3:
            said = text.strip()
            if said:
                raise Failure(f"a client says: {said.splitlines()[-1]}")
            return
        done = re.search(r"status codes: (\d+) 2xx", text)
        if not done or int(done[1]) < self.count:
            raise Failure(f"{done[1] if done else 'no'} answers to {self.count} requests")


class Body:
    """One response of so many bytes."""

    app = "stream"

    def __init__(self, world, protocol, gigabytes):
        self.world, self.protocol = world, protocol
        self.size = max(1, int(gigabytes * GIB))

    def __str__(self):
        return f"one body of {self.size / GIB:g} GiB"

    def clients(self, server):
        program = fetched("fetch-curl") if self.protocol is H3 else self.world.tool("curl", "curl")
        quiet = ["--disable", "--silent", "--show-error", "--globoff", "--insecure", "--output", "/dev/null"]
        url = server.url(self.protocol, f"/?bytes={self.size}")
        return [[program, *quiet, "--write-out", "%{http_version} %{size_download}", *self.protocol.flags, url]]

    def check(self, text):
        expected = f"{self.protocol.version} {self.size}"
        if text.strip() != expected:
            raise Failure(f"curl tells '{text.strip()[-200:]}', not '{expected}'")
