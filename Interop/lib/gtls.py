"""A second HTTP/3 client, on another QUIC implementation: ngtcp2's example client."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass

from .protocols import H3

STATUS = re.compile(r"\[:status: (\d+)\]")


@dataclass
class Transcript:
    text: str

    @property
    def statuses(self):
        """How often each status came."""
        return Counter(int(status) for status in STATUS.findall(self.text))

    def values(self, name):
        return re.findall(rf"\[{re.escape(name)}: (.*?)\]", self.text)

    @property
    def clean_ends(self):
        """Streams that ended with H3_NO_ERROR."""
        return len(re.findall(r"HTTP stream \d+ closed with error code 256", self.text))


def command(world, server, *arguments, path="/", quiet=True):
    program = world.tool("gtlsclient", "ngtcp2-client, from backports")
    usual = ["--no-quic-dump", "--no-http-dump", "--exit-on-all-streams-close", "--handshake-timeout=5s"]
    usual += ["--quiet"] if quiet else []
    url = server.url(H3, path)
    return [program, *usual, *map(str, arguments), "127.0.0.1", str(server.port("https")), url]


def gtls(world, server, *arguments, path="/", timeout=50, quiet=False):
    """Runs it to its end; gives what it tells of the exchange."""
    done = subprocess.run(
        command(world, server, *arguments, path=path, quiet=quiet),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
    )
    return Transcript(done.stdout.decode("utf-8", "replace"))
