"""A peer of WebSockets that keeps to no rule: bytes as they are given, and of what comes back as much as there is to know.

Run with the interpreter that Interop/fetch-python-clients prints: ws_attack.py URL '{"http": "2"}'. All WebSockets of one
process share a connection where HTTP/2 or HTTP/3 carries them. It prints a line of JSON once it is connected; then for each line
`{"do": NAME, "of": WEBSOCKET, ...}` that it reads, what came of it.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

from ws_answers import told
from ws_lines import client_for

BLOCK = 1 << 16
HEADER_OF = {126: 2, 127: 8}
"""How many bytes the extended length has (RFC 6455 section 5.2)."""
CLOSE, TEXT = 8, 1


class Frames:
    """What the server sends, counted; of its Close frame the code and the reason."""

    def __init__(self):
        self.buffer = bytearray()
        self.counts = Counter()
        self.payload_bytes = 0
        self.texts = []
        self.close = None

    def feed(self, data):
        self.buffer += data
        start = 0
        while (end := self.take(start)) is not None:
            start = end
        del self.buffer[:start]

    def take(self, start):
        """Reads a frame; gives its end, or None where it is not all there."""
        head = self.buffer[start : start + 10]
        if len(head) < 2:
            return None
        length, size = head[1] & 127, 2
        if extended := HEADER_OF.get(length):
            if len(head) < 2 + extended:
                return None
            length, size = int.from_bytes(head[2 : 2 + extended], "big"), 2 + extended
        end = start + size + length
        if len(self.buffer) < end:
            return None
        self.found(head[0] & 15, self.buffer[start + size : end])
        return end

    def found(self, opcode, payload):
        self.counts[opcode] += 1
        self.payload_bytes += len(payload)
        if opcode == TEXT:
            self.texts.append(bytes(payload))
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.close = (code, bytes(payload[2:]).decode("utf-8", "replace"))


class Peer:
    """One WebSocket on a line."""

    def __init__(self, line):
        self.line = line
        self.frames = Frames()
        self.changed = asyncio.Event()
        self.reading = None
        self.has_read_all = False

    def read(self):
        self.reading = self.reading or asyncio.ensure_future(self.read_all())

    async def read_all(self):
        while (data := await self.line.read()) is not None:
            self.frames.feed(data)
            self.changed.set()
        self.has_read_all = True
        self.changed.set()

    @property
    def is_over(self):
        return bool(self.frames.close or self.line.ending)

    async def wait(self, condition, seconds):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Neighbour:
    """Someone else's WebSocket, on the same connection where there is one: it asks all the time, and wants its echoes."""

    def __init__(self, client):
        self.client = client
        self.echoes, self.slowest = 0, 0.0

    async def start(self, path):
        self.peer = Peer(await self.client.open(path, {}))
        self.peer.read()
        self.asking = asyncio.ensure_future(self.ask())

    async def ask(self):
        while True:
            await self.echoed()
            await asyncio.sleep(0.02)

    async def echoed(self):
        """One echo, timed."""
        payload = b"%08d" % self.echoes
        began = time.monotonic()
        await self.peer.line.write(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        await self.peer.wait(lambda: payload in self.peer.frames.texts or self.peer.is_over, 10)
        if self.peer.is_over:
            raise ConnectionError(f"the neighbour's WebSocket is over: {self.peer.frames.close} {self.peer.line.ending}")
        self.peer.frames.texts.clear()
        self.echoes, self.slowest = self.echoes + 1, max(self.slowest, time.monotonic() - began)


class Attack:
    """The commands."""

    def __init__(self, client):
        self.client = client
        self.peers = {}

    async def open(self, of, path, fields=None, reads=True):
        line = await self.client.open(path, fields or {}, reads)
        peer = self.peers[of] = Peer(line)
        if reads and line.accepted:
            peer.read()
        return {"status": line.status}

    async def open_many(self, of, path, count, fields=None, answered=True, hex=""):
        """As many at once; each says the same, once it has its answer or, where nobody waits for that, at once."""
        fields, data = fields or {}, bytes.fromhex(hex)
        lines = await asyncio.gather(*(self.client.open(path, fields, answered=answered) for _ in range(count)))
        self.peers |= {f"{of}-{number}": Peer(line) for number, line in enumerate(lines)}
        for line in lines if data else ():
            await line.write(data)
        return {"statuses": Counter(str(line.status) for line in lines)}

    async def begin_many(self, of, head, count):
        """HTTP/1.1: connections on which a request's head only begins."""
        lines = await asyncio.gather(*(self.client.begin(head) for _ in range(count)))
        self.peers |= {f"{of}-{number}": Peer(line) for number, line in enumerate(lines)}
        return {}

    async def pour(self, of, hex, times=1, patience=1.0, past_close=False):
        """Writes the same again and again, until the WebSocket is over or the server takes nothing more."""
        peer, unit = self.peers[of], bytes.fromhex(hex)
        block = unit * max(1, BLOCK // len(unit))
        left, began, stalled = len(unit) * times, time.monotonic(), False
        try:
            while left and not (peer.line.ending if past_close else peer.is_over):
                part = block[:left]
                await asyncio.wait_for(peer.line.write(part), patience)
                left -= len(part)
                # What comes has its turn too.
                await asyncio.sleep(0)
        except TimeoutError:
            stalled = True
        except ConnectionError:
            pass
        poured = len(unit) * times - left
        return {"poured": poured, "stalled": stalled, "seconds": time.monotonic() - began}

    async def crumble(self, of, hex, times):
        """HTTP/2 and HTTP/3: each byte in a DATA frame of its own."""
        await self.client.tunnel.crumble(bytes.fromhex(hex) * times, self.peers[of].line.number)
        return {}

    async def get(self, path):
        return {"status": await self.client.get(path)}

    async def drip(self, of, hex, every, seconds):
        """One byte now and then, until the WebSocket is over."""
        peer, data, began = self.peers[of], bytes.fromhex(hex), time.monotonic()
        sent = 0
        while not peer.is_over and time.monotonic() - began < seconds:
            await peer.line.write(data[sent : sent + 1])
            sent += 1
            await asyncio.sleep(every)
        return {"sent": sent, "over": peer.is_over, "seconds": time.monotonic() - began}

    async def messages(self, of, count, seconds=10):
        """Waits until so many bytes of payload have come."""
        peer = self.peers[of]
        await peer.wait(lambda: peer.frames.payload_bytes >= count or peer.is_over, seconds)
        return {"bytes": peer.frames.payload_bytes, "close": peer.frames.close}

    async def over(self, of, seconds=10):
        """Waits for the end of the line, without ending it from this side."""
        peer, began = self.peers[of], time.monotonic()
        peer.read()
        await peer.wait(lambda: peer.has_read_all, seconds)
        code, reason = peer.frames.close or (1006, "")
        frames = {str(opcode): count for opcode, count in peer.frames.counts.items()}
        ending = {"ending": peer.line.ending, "seconds": time.monotonic() - began}
        return {"code": code, "reason": reason, "frames": frames, "bytes": peer.frames.payload_bytes} | ending

    async def closed(self, of, seconds=10):
        """Waits for the Close frame, or the end."""
        peer = self.peers[of]
        await peer.wait(lambda: peer.is_over, seconds)
        code, reason = peer.frames.close or (1006, "")
        return {"code": code, "reason": reason}

    async def leave(self, of=None):
        """Resets one of them, or all whose name begins so."""
        leaving = [name for name in self.peers if name == of or name.startswith(f"{of}-")]
        for name in leaving:
            await self.peers.pop(name).line.reset()
        return {"left": len(leaving)}

    async def is_lost(self):
        """Whether the server has closed the connection of all."""
        await asyncio.sleep(0.05)
        return {"lost": self.client.tunnel.is_lost}

    async def neighbour(self, path):
        self.beside = Neighbour(self.client)
        await self.beside.start(path)
        return {}

    async def neighbour_is_well(self):
        """It has been answered until now, and is now; so is a request."""
        if self.beside.asking.done():
            await self.beside.asking
        self.beside.asking.cancel()
        await asyncio.wait([self.beside.asking])
        # Its echo may be on its way.
        self.beside.echoes += 1
        await self.beside.echoed()
        status = await self.client.get("/disconnects")
        await self.beside.peer.line.reset()
        return {"echoes": self.beside.echoes, "slowest": self.beside.slowest, "status": status}


async def run(url, options):
    client = client_for(options["http"])
    await told(client.connect(urlsplit(url), options), 10)
    attack = Attack(client)
    while line := await asyncio.to_thread(sys.stdin.readline):
        what = json.loads(line)
        await told(getattr(attack, what.pop("do"))(**what), options.get("timeout", 22))
    await client.leave()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], json.loads(sys.argv[2])))
