"""A server that can be compared: how it is had, started, and known to answer."""

import os
import subprocess
import time

from lib.protocols import H3, WEBSOCKET
from lib.report import Failure

from .ws_load import ask_for_echo

BODY = b"Hello, World!"


class Peer:
    name = ""
    protocols = ()
    path = "/"
    environment = {}

    def __init__(self, world):
        self.world = world

    def prepare(self, protocol):
        """Gets what it needs, or raises Skipped."""

    def command(self, protocol, port):
        """What starts it in the foreground, with one worker, and without a log of requests."""
        raise NotImplementedError

    @property
    def tls(self):
        return self.world.certificate, self.world.key

    def file(self, name, text):
        path = self.world.path(name)
        with open(path, "w") as file:
            file.write(text)
        return path


def await_answer(process, target, network, world, seconds=20):
    """Waits until the server gives the 13 bytes over the protocol that is about to be measured."""
    ask = {H3: ask_over_quic, WEBSOCKET: ask_over_websocket}.get(target.protocol, ask_over_tcp)
    deadline = time.monotonic() + seconds
    answer = b""
    while time.monotonic() < deadline:
        if not process.alive:
            raise Failure(f"it ended with exit code {process.main.returncode}: {process.tail()}")
        answer = ask(target, network, world)
        if answer == BODY:
            return
        time.sleep(0.05)
    raise Failure(f"no '{BODY.decode()}' from {target.url} but {answer[:80]!r}: {process.tail()}")


def ask_over_tcp(target, network, world):
    curl = world.tool("curl", "curl")
    usual = ["--disable", "--noproxy", "*", "--silent", "--insecure", "--max-time", "3"]
    command = [curl, *usual, *target.protocol.flags, target.url]
    return subprocess.run(network.inside(command), stdin=subprocess.DEVNULL, capture_output=True).stdout


def ask_over_websocket(target, network, world):
    return ask_for_echo(target)


def ask_over_quic(target, network, world):
    """ngtcp2's client saves what it gets under the last part of the path."""
    options = ["--quiet", "--handshake-timeout=1s", "--timeout=3s", "--exit-on-all-streams-close"]
    options.append(f"--download={world.folder}")
    client = world.tool("gtlsclient", "ngtcp2-client, from backports")
    saved = world.path(target.path.strip("/") or "index.html")
    if os.path.exists(saved):
        os.unlink(saved)
    command = network.inside([client, *options, "127.0.0.1", str(target.port), target.url])
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=6)
        with open(saved, "rb") as body:
            return body.read()
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return b""
