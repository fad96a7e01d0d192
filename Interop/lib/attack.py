"""Attacks on WebSockets: the same at once over every version of HTTP, against one server, beside neighbours who see nothing."""

import contextlib
import functools
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from .case import case
from .memory import bounded
from .protocols import EVERY
from .report import Failure, expect, same
from .server import MIB
from .websocket import ACCEPTED, Client

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", final=True, compressed=False, announced=None):
    """A frame as hexadecimal digits, masked with zeros; `announced` is a length other than the payload's."""
    first = opcode | (0x80 if final else 0) | (0x40 if compressed else 0)
    length = len(payload) if announced is None else announced
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + length.to_bytes(8, "big")
    return (bytes([first]) + size + bytes(4) + payload).hex()


def bomb(size):
    """The payload of a compressed message of that many zeros: a thousandth of it."""
    whole, rest = divmod(size, MIB)
    # RFC 7692 section 7.2.1: without the end of the flush.
    return (flushed(MIB) * whole + flushed(rest))[:-4]


@functools.cache
def flushed(size):
    """Zeros, compressed up to a byte of its own, so that anything may stand behind it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(bytes(size)) + compressor.flush(zlib.Z_SYNC_FLUSH)


class Attacker(Client):
    """One connection's worth of peers that keep to no rule; with a neighbour among them that does."""

    program = "ws_attack.py"

    def __init__(self, world, server, protocol):
        self.world, self.server, self.protocol = world, server, protocol
        super().__init__(world, protocol, server.url(protocol, ""))

    def path(self, path):
        """With a mark, so that the log says which of the attackers it was."""
        return f"{path}{'&' if '?' in path else '?'}over={self.protocol.name}"

    def open(self, of, path, deflate=False, reads=True):
        fields = {"sec-websocket-extensions": "permessage-deflate"} if deflate else {}
        answer = self.do("open", of=of, path=self.path(path), fields=fields, reads=reads)
        same(answer["status"], ACCEPTED[self.protocol.version], f"the answer to the opening of '{of}'")

    def pour(self, of, hex, times=1, **how):
        return self.do("pour", of=of, hex=hex, times=times, **how)

    def refused(self, of, path, code, reason):
        """The Close frame has the code, the line ends, and the log has the reason, once."""
        over = self.do("over", of=of)
        same((over["code"], over["reason"]), (code, reason), f"how '{of}' ended")
        self.logged(path, reason)
        return over

    def logged(self, path, reason, times=1):
        deadline = time.monotonic() + 2
        while (found := self.log_lines(path, reason)) != times:
            expect(time.monotonic() < deadline, f"{found} lines of the log have '{reason}', not {times}")
            time.sleep(0.02)

    def log_lines(self, path, reason):
        lines = self.server.output().splitlines()
        return sum(f"{self.path(path)} " in line and line.endswith(reason) for line in lines)

    def stalls(self, of, hex, times):
        """The server takes no more at some point; gives what it took."""
        poured = self.pour(of, hex, times)
        expect(poured["stalled"], f"all of {poured['poured']} bytes were taken")
        return poured["poured"]

    @contextlib.contextmanager
    def neighbour(self):
        """Has its echoes and its answers, during the block and behind it."""
        self.do("neighbour", path="/ws/echo")
        yield
        well = self.do("neighbour_is_well")
        same(well["status"], 200, "the answer to a request beside the attack")
        expect(well["slowest"] < 5, f"the neighbour waited {well['slowest']:.1f} s for an echo")


def attack(name, *options, protocols=EVERY, growth=16 * MIB, neighbour=True, limit=60, full_only=False):
    """Registers `function(attacker)`: run at once over each of the protocols, against one server of its own."""

    def register(function):
        @case(f"websocket-attack-{name}", limit=limit, full_only=full_only)
        def attacked(world):
            def run(protocol):
                with Attacker(world, server, protocol) as attacker:
                    with attacker.neighbour() if neighbour else contextlib.nullcontext():
                        return function(attacker)

            with world.fresh("interop-app", *options) as server:
                with bounded(server, growth) as memory:
                    began = server.cpu_seconds()
                    remarks = each(protocols, run)
                remarks += [f"{server.cpu_seconds() - began:.1f} s of the server's CPU", str(memory)]
            return ", ".join(remarks)

        return function

    return register


def each(protocols, run):
    """At once; what is wrong with one of them is said with its name."""
    with ThreadPoolExecutor(len(protocols)) as pool:
        running = [(protocol, pool.submit(run, protocol)) for protocol in protocols]
    remarks, wrong = [], []
    for protocol, done in running:
        try:
            remarks.append(f"{protocol.name} {remark}" if (remark := done.result()) else None)
        except Failure as failure:
            wrong.append(f"{protocol.name}: {failure}")
    expect(not wrong, "; ".join(wrong))
    return [remark for remark in remarks if remark]
