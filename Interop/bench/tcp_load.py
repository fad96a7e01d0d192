"""HTTP/1.1 and HTTP/2: wrk and h2load."""

import os
import re

from lib.report import Failure

from .load import CONNECTIONS, HTTP1_CONNECTIONS, STREAMS, Latency, Outcome, output_of
from .process import pinned

UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
DURATION = r"([\d.]+)(us|ms|s|m|h)\b"


def milliseconds(match):
    return float(match[1]) * UNITS[match[2]]


def found(pattern, text, what):
    match = re.search(pattern, text, re.MULTILINE)
    if not match:
        raise Failure(f"{what} said: {text.strip()[-200:]}")
    return match


class Wrk:
    """HTTP/1.1, in plaintext or over TLS, on connections that stay open."""

    describes = f"wrk, {HTTP1_CONNECTIONS} connections"

    def __init__(self, world, core, network):
        self.program, self.core, self.network = world.tool("wrk", "wrk"), core, network

    def warm_up(self, target):
        self.run(target, 1)

    def run(self, target, seconds):
        options = ["-t1", f"-c{HTTP1_CONNECTIONS}", f"-d{seconds}s", "--latency"]
        text = output_of(pinned(self.core, self.network.inside([self.program, *options, target.url])), seconds)
        self.refuse_errors(text)
        counted = found(rf"(\d+) requests in {DURATION}", text, "wrk")
        p50, p99 = (milliseconds(found(rf"^\s+{each}%\s+{DURATION}", text, "wrk")) for each in (50, 99))
        elapsed = float(counted[2]) * UNITS[counted[3]] / 1000
        return Outcome(int(counted[1]), elapsed, Latency(p50, p99))

    def refuse_errors(self, text):
        errors = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text)
        if errors and not re.fullmatch(r"Socket errors: connect 0, read 0, write 0, timeout \d+", errors[0]):
            raise Failure(f"wrk: {errors[0]}")

    def latency(self, target, outcome):
        return outcome.latency


class H2load:
    """HTTP/2, in plaintext with prior knowledge or over TLS."""

    describes = f"h2load, {CONNECTIONS} connections of {STREAMS} streams"

    def __init__(self, world, core, network):
        self.program, self.core, self.network = world.tool("h2load", "nghttp2-client"), core, network
        self.log = world.path("h2load.log")

    def warm_up(self, target):
        self.run(target, 1)

    def run(self, target, seconds, *more):
        options = ["-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}", "-D", str(seconds), *more]
        text = output_of(pinned(self.core, self.network.inside([self.program, *options, target.url])), seconds)
        count = found(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text, "h2load")
        succeeded, *others = (int(each) for each in count.groups())
        if any(others) or not succeeded:
            raise Failure(f"h2load: {count[0]}")
        # What has begun when the time is over has a status, too.
        found(r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx", text, "h2load")
        elapsed = milliseconds(found(rf"finished in {DURATION}", text, "h2load")) / 1000
        return Outcome(succeeded, elapsed)

    def latency(self, target, outcome):
        """From a second of its own, for it costs the client a line for each request."""
        if os.path.exists(self.log):
            os.unlink(self.log)
        self.run(target, 1, f"--log-file={self.log}")
        with open(self.log) as lines:
            return Latency.of(int(line.rsplit("\t", 1)[1]) / 1000 for line in lines)
