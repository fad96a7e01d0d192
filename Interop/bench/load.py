"""What is asked of a server, and what came of it."""

import subprocess
from dataclasses import dataclass

from lib.protocols import Protocol
from lib.report import Failure

CONNECTIONS = 16
"""Of a multiplexing protocol; as in the reference measurements."""
STREAMS = 32
HTTP1_CONNECTIONS = 64
GRACE = 15
"""Seconds that a client may take on top of its time."""


@dataclass(frozen=True)
class Target:
    protocol: Protocol
    port: int
    path: str = "/"

    @property
    def url(self):
        return f"{self.protocol.scheme}://127.0.0.1:{self.port}{self.path}"


@dataclass(frozen=True)
class Latency:
    """In milliseconds."""

    median: float
    p99: float

    @staticmethod
    def of(milliseconds):
        ordered = sorted(milliseconds)
        if not ordered:
            return None
        return Latency(ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)])


@dataclass(frozen=True)
class Outcome:
    requests: int
    seconds: float
    latency: Latency | None = None


def output_of(command, seconds):
    """What a client printed; it is ended when it takes too long."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + GRACE,
        )
    except subprocess.TimeoutExpired:
        raise Failure(f"{command_name(command)} was not done after {seconds + GRACE:.0f} s") from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        last = text.strip().splitlines()[-1:] or [""]
        raise Failure(f"{command_name(command)} ended with exit code {done.returncode} {last[0]}")
    return text


def command_name(command):
    """The client's own name, behind taskset."""
    return command[3] if command[0] == "taskset" else command[0]
