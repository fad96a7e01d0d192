"""A rebinding NAT between a client and the server; clients take it for a server."""

import json
import subprocess
import sys

from .report import Failure
from .world import HERE

EVERY = 5
"""Datagrams of a client after which its port changes."""
LINGER = 0.25
"""Seconds for which what the server sends to the port before still comes back."""


class Nat:
    def __init__(self, server, every=EVERY, linger=LINGER):
        self.server, self.counts = server, {}
        command = [sys.executable, f"{HERE}/clients/nat.py", str(server.port("https")), str(every), str(linger)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.number = int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            told, _ = self.process.communicate("", timeout=5)
            self.counts = json.loads(told)
        except (ValueError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.communicate()
            raise Failure("the NAT did not say what it did") from None

    def port(self, scheme):
        return self.number

    def url(self, protocol, path="/", host="127.0.0.1"):
        return f"{protocol.scheme}://{host}:{self.number}{path}"

    def __str__(self):
        counts = self.counts
        return f"{counts['forth']} datagrams from {counts['clients']} clients, {counts.get('rebinds', 0)} new ports"
