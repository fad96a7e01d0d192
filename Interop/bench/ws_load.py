"""WebSockets on HTTP/1.1: echoes of a small message."""

import json
import socket
import sys

from lib.report import Failure
from lib.world import HERE

from .load import HTTP1_CONNECTIONS, Latency, Outcome, output_of
from .process import pinned
from .ws_frames import TEXT, accepted, frame, upgrade
from .ws_generator import ECHO, MESSAGE


class Echoes:
    """Each connection waits for its echo before it sends the next message."""

    describes = f"{HTTP1_CONNECTIONS} connections, an echo at a time"

    def __init__(self, world, core, network):
        self.core, self.network = core, network

    def warm_up(self, target):
        self.run(target, 1)

    def run(self, target, seconds):
        generator = [sys.executable, f"{HERE}/bench/ws_generator.py"]
        command = [*generator, str(target.port), str(HTTP1_CONNECTIONS), str(seconds)]
        text = output_of(pinned(self.core, self.network.inside(command)), seconds)
        try:
            told = json.loads(text)
        except ValueError:
            raise Failure(f"the generator said: {text.strip()[-200:]}") from None
        return Outcome(told["messages"], told["seconds"], Latency(told["p50"], told["p99"]))

    def latency(self, target, outcome):
        return outcome.latency


def ask_for_echo(target):
    """What comes back for the 13 bytes; nothing where the server is not there yet."""
    try:
        with socket.create_connection(("127.0.0.1", target.port), 3) as connection:
            connection.sendall(upgrade("/", target.port))
            accepted(connection)
            connection.sendall(frame(TEXT, MESSAGE))
            return connection.recv(len(ECHO))[2:]
    except OSError:
        return b""
