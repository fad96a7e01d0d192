"""WebSockets of peers that do nothing where they should: do not answer, do not read, do not go on, do not decide."""

import time

from lib.attack import BINARY, CLOSE, Attacker, attack, bomb, frame
from lib.protocols import EVERY, H1, H1_TLS, MULTIPLEXED
from lib.report import expect, same
from lib.server import MIB

SHORT_CLOSE = ("--ws-close-timeout", "0.5")
SHORT_PINGS = ("--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.3")
SOON = 3
"""Seconds, for what is due after half of one, on a busy machine."""


# A peer that never closes


@attack("does-not-answer-the-close", *SHORT_CLOSE)
def no_answer(attacker):
    attacker.open("it", "/ws/close")
    over = attacker.do("over", of="it")
    same(over["code"], 1000, "the code")
    expect(0.3 < over["seconds"] < SOON, f"cut off after {over['seconds']:.1f} s")
    attacker.logged("/ws/close", "no answer to the Close frame")
    return f"{over['ending']} after {over['seconds']:.2f} s"


@attack("answers-the-close-with-a-flood", *SHORT_CLOSE)
def flood_after_close(attacker):
    """What comes behind our Close is thrown away, and is no answer to it."""
    attacker.open("it", "/ws/close")
    attacker.do("closed", of="it")
    poured = attacker.pour("it", frame(BINARY, bytes(10_000)), 1_000_000, past_close=True)
    expect(poured["seconds"] < SOON, f"cut off after {poured['seconds']:.1f} s")
    attacker.logged("/ws/close", "no answer to the Close frame")
    return f"{poured['poured'] / MIB:.0f} MiB thrown away"


@attack("does-not-end-its-stream", *SHORT_CLOSE, protocols=MULTIPLEXED)
def no_end(attacker):
    """Both have said goodbye, but the peer's side of the stream stays open: it is reset in the end."""
    attacker.open("it", "/ws/watch")
    attacker.pour("it", frame(CLOSE, (1000).to_bytes(2, "big")))
    same(attacker.do("over", of="it")["code"], 1000, "the code")


# A peer that never reads


@attack("never-reads", *SHORT_PINGS)
def never_reads(attacker):
    """The sender waits, and so do our pings: they cannot be answered before they are read."""
    attacker.open("it", "/ws/push?count=100000&size=10000", reads=False)
    time.sleep(1.5)


@attack("never-reads-for-a-minute", limit=120, full_only=True)
def never_reads_for_long(attacker):
    """Nothing of the output is taken within the stall timeout."""
    attacker.open("it", "/ws/push?count=100000&size=10000", reads=False)
    time.sleep(64)
    over = attacker.do("over", of="it")
    return f"{over['bytes'] / MIB:.1f} MiB, {over['ending']}"


# A peer that falls silent

WITHIN_A_HEAD = frame(BINARY, bytes(200))[:6]
WITHIN_A_PAYLOAD = frame(BINARY, bytes(100), announced=1000)
WITHIN_COMPRESSION = frame(BINARY, bomb(MIB)[:100], compressed=True, announced=1000)
BETWEEN_FRAGMENTS = frame(BINARY, bytes(100), final=False)
SILENCES = {
    "nothing": "",
    "head": WITHIN_A_HEAD,
    "payload": WITHIN_A_PAYLOAD,
    "compressed": WITHIN_COMPRESSION,
    "fragments": BETWEEN_FRAGMENTS,
}


@attack("falls-silent", *SHORT_PINGS)
def falls_silent(attacker):
    """In the middle of whatever it was: the ping notices."""
    for name, said in SILENCES.items():
        attacker.open(name, "/ws/echo", deflate=True)
        if said:
            attacker.pour(name, said)
    began = time.monotonic()
    endings = {attacker.do("over", of=name)["code"] for name in SILENCES}
    seconds = time.monotonic() - began
    expect(seconds < SOON, f"noticed after {seconds:.1f} s")
    attacker.logged("/ws/echo", "no answer to a ping", len(SILENCES))
    return f"{endings} after {seconds:.2f} s"


@attack("drips", *SHORT_PINGS)
def drips(attacker):
    """A byte now and then is a sign of life, and nobody is cut off for being slow."""
    attacker.open("it", "/ws/echo")
    dripped = attacker.do("drip", of="it", hex=frame(BINARY, bytes(200)), every=0.1, seconds=1.5)
    expect(not dripped["over"], f"cut off after {dripped['seconds']:.1f} s")


@attack("drips-for-too-long", *SHORT_PINGS, *SHORT_CLOSE, "--ws-max-age", "1", neighbour=False)
def drips_for_too_long(attacker):
    """Unless there is a bound to a WebSocket's age."""
    attacker.open("it", "/ws/echo")
    dripped = attacker.do("drip", of="it", hex=frame(BINARY, bytes(200)), every=0.1, seconds=5)
    same(attacker.do("closed", of="it"), {"code": 1001, "reason": "open for long enough"}, "the Close frame")
    expect(0.8 < dripped["seconds"] < SOON, f"cut off after {dripped['seconds']:.1f} s")
    same(attacker.do("get", path="/disconnects")["status"], 200, "the answer beside")


@attack("pings-and-says-nothing", *SHORT_CLOSE, "--ws-idle-timeout", "1", neighbour=False)
def idle(attacker):
    """Pings are no messages: to the idle timeout it is as good as silent. (A drip within a message is not.)"""
    attacker.open("it", "/ws/echo")
    dripped = attacker.do("drip", of="it", hex=frame(9) * 200, every=0.02, seconds=5)
    same(attacker.do("closed", of="it"), {"code": 1001, "reason": "idle for too long"}, "the Close frame")
    expect(0.8 < dripped["seconds"] < SOON, f"cut off after {dripped['seconds']:.1f} s")


# Openings

MOST = 60


def state_undecided(protocol):
    @attack(f"never-decided/{protocol.name}", "--ws-max-connections", str(MOST), protocols=[protocol])
    def undecided(attacker):
        """As many as may be, and one more; the neighbour is one of them. Once they leave there is room again."""
        attacker.do("open_many", of="it", path="/ws/never-accepts", count=MOST - 1, answered=False)
        # What was sent before is seen before, on one connection; others have been accepted by then.
        await_full(attacker)
        same(attacker.do("open", of="more", path=attacker.path("/ws/echo"))["status"], 503, "one too many")
        attacker.do("leave", of="it")
        deadline = time.monotonic() + 3
        while attacker.do("open", of="more", path=attacker.path("/ws/echo"))["status"] == 503:
            expect(time.monotonic() < deadline, "there is no room although they have left")
            time.sleep(0.05)

    def await_full(attacker):
        deadline = time.monotonic() + 3
        while attacker.do("open", of="more", path=attacker.path("/ws/full"))["status"] != 503:
            expect(time.monotonic() < deadline, "all are admitted")
            time.sleep(0.05)
        attacker.logged("/ws/full", "as many WebSockets are open as may be")


for each in EVERY:
    state_undecided(each)


@attack("undecided-by-the-thousand", protocols=[H1], growth=100 * MIB, neighbour=False, full_only=True)
def thousands(attacker):
    before = attacker.server.memory()[0]
    attacker.do("open_many", of="it", path="/ws/never-accepts", count=3000, answered=False)
    same(attacker.do("get", path="/disconnects")["status"], 200, "the answer beside")
    each = (attacker.server.memory()[0] - before) / 3000
    attacker.do("leave", of="it")
    return f"{each / 1024:.0f} KiB each"


@attack("opens-and-resets", "--ws-max-connections", "250", protocols=MULTIPLEXED, neighbour=False)
def opens_and_resets(attacker):
    """Faster than a client has reason to: the connection closes, and none of what it opened stays counted."""
    rounds = 0
    while not attacker.do("is_lost")["lost"]:
        expect(rounds < 40, f"{rounds * 50} openings were reset")
        attacker.do("open_many", of="it", path="/ws/never-accepts", count=50, answered=False)
        attacker.do("leave", of="it")
        rounds += 1
    with Attacker(attacker.world, attacker.server, attacker.protocol) as another:
        another.do("open_many", of="it", path="/ws/never-accepts", count=80, answered=False)
        another.open("last", "/ws/echo")
    return f"closed after {rounds * 50}"


BROKEN = {
    "without a key": ({"sec-websocket-key": None}, 400),
    "with a short key": ({"sec-websocket-key": "c2hvcnQ="}, 400),
    "with a key that is no base64": ({"sec-websocket-key": "!" * 24}, 400),
    "of another version": ({"sec-websocket-version": "8"}, 426),
    "without a version": ({"sec-websocket-version": None}, 426),
    "with an extension that is none": ({"sec-websocket-extensions": "permessage-deflate; ="}, 400),
    "with a subprotocol that is none": ({"sec-websocket-protocol": "a b, \"c"}, 400),
}
OVER_STREAMS = [name for name in BROKEN if "key" not in name]


@attack("broken-openings")
def broken(attacker):
    """Fifty of each kind at a time: each has its own answer, and none reaches the application."""
    is_upgrade = attacker.protocol.version == "1.1"
    for name in BROKEN if is_upgrade else OVER_STREAMS:
        fields, status = BROKEN[name]
        path = attacker.path("/ws/throw-at-once")
        answer = attacker.do("open_many", of="it", path=path, count=50, fields=fields)
        same(answer["statuses"], {str(status): 50}, f"the answers to openings {name}")
        attacker.do("leave", of="it")


@attack("half-an-opening", protocols=[H1, H1_TLS], growth=24 * MIB)
def half(attacker):
    """Heads that do not end; the head timeout is for them, as for every request."""
    whole = "GET /ws/echo HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    for number, head in enumerate((whole[:30], whole[:60], whole)):
        attacker.do("begin_many", of=f"half{number}", head=head, count=100)
    same(attacker.do("get", path="/disconnects")["status"], 200, "the answer beside")
    if attacker.world.full:
        time.sleep(11)
        for number in range(3):
            expect(attacker.do("over", of=f"half{number}-0", seconds=2)["ending"], "the head timeout")
