"""Real curl: the system's for what it can, the private one for HTTP/3."""

import functools
import itertools
import json
import os
import subprocess
from dataclasses import dataclass, field

from .report import Failure, same

serial = itertools.count()
TIMED_OUT = 28
"""curl's exit code after --max-time."""


@dataclass
class Block:
    """One head of a response as curl wrote it down."""

    status: int
    fields: list = field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name]

    def get(self, name):
        return ", ".join(self.all(name)) if self.all(name) else None


@dataclass
class Reply:
    code: int
    """curl's exit code."""
    complaint: str
    informational: list
    head: Block
    trailers: Block
    body: bytes
    told: str
    """What curl's --write-out tells."""

    @property
    def status(self):
        return self.head.status

    def get(self, name):
        return self.head.get(name)

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @functools.cached_property
    def facts(self):
        """Among them http_version, size_download, time_total."""
        return json.loads(self.told) if self.told.startswith("{") else {}

    @property
    def version(self):
        return self.facts.get("http_version", "")


def parse_heads(text):
    """Heads in order; lines after the final head's end that no status line precedes are trailers."""
    blocks, trailers, ended = [], Block(0), False
    for line in text.splitlines():
        if line.startswith("HTTP/"):
            blocks.append(Block(int(line.split()[1])))
            ended = False
        elif not line.strip():
            ended = True
        elif blocks and ":" in line:
            name, value = line.split(":", 1)
            (trailers if ended else blocks[-1]).fields.append((name.strip(), value.strip()))
    head = blocks.pop() if blocks else Block(0)
    return blocks, head, trailers


class Curl:
    """One run of curl, begun; `reply()` waits for its end."""

    def __init__(self, world, protocol, *arguments, keep_body=True, input=None, timeout=60, recent=False):
        """`recent` asks for the private curl: Debian 12's own cannot use an h2c connection twice."""
        recent = recent or protocol.version == "3"
        program = world.fetched("fetch-curl", "curl3") if recent else world.tool("curl", "curl")
        prefix = world.path(f"curl-{next(serial)}")
        self.head_path, self.body_path = prefix + ".head", prefix + ".body"
        self.timeout = timeout
        self.command = [
            *(program, "--disable", "--silent", "--show-error", "--globoff", "--noproxy", "*"),
            *("--cacert", world.certificate, "--max-time", str(timeout)),
            *("--dump-header", self.head_path, "--output", self.body_path if keep_body else "/dev/null"),
            *("--write-out", "%{json}", *protocol.flags, *map(str, arguments)),
        ]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL if input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.input = input

    @property
    def running(self):
        return self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def reply(self):
        try:
            out, complaint = self.process.communicate(self.input, self.timeout + 5)
        except BaseException:
            self.kill()
            raise
        informational, head, trailers = parse_heads(read(self.head_path, "latin-1"))
        body = read(self.body_path)
        complaint = complaint.decode("utf-8", "replace").strip()
        return Reply(self.process.returncode, complaint, informational, head, trailers, body, out.decode())


def read(path, encoding=None):
    """What curl wrote, once; the file goes."""
    try:
        with open(path, "rb") as file:
            data = file.read()
        os.unlink(path)
    except FileNotFoundError:
        data = b""
    return data.decode(encoding) if encoding else data


def curl(world, protocol, *arguments, status=200, **options):
    """A whole exchange that curl itself finds in order, in this very version."""
    reply = Curl(world, protocol, *arguments, **options).reply()
    if reply.code:
        raise Failure(f"curl ended with {reply.code}: {reply.complaint} (status {reply.status})")
    same(reply.version, protocol.version, "the HTTP version")
    if status is not None:
        same(reply.status, status, "the status")
    return reply
