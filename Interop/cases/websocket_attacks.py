"""WebSockets of peers that send what nobody could want: bombs, crumbs, floods, and lengths that nothing follows."""

import time

from lib.attack import BINARY, CONTINUATION, PING, PONG, attack, bomb, frame
from lib.protocols import MULTIPLEXED
from lib.report import expect, same
from lib.server import MIB

FRAGMENTS = 128 * 1024
"""Frames that a message may have by default."""
SMALL = ("--ws-max-size", str(MIB), "--ws-max-frame-size", str(16 * MIB))
FOR_EVER = 5_000_000
"""Far more often than anything is taken."""


# Bombs


def large_bomb(attacker):
    return bomb(1024 * MIB if attacker.world.full else 64 * MIB)


@attack("bomb", *SMALL)
def one_frame(attacker):
    """A thousand times its size, in one frame: found out while it inflates."""
    attacker.open("bomb", "/ws/echo", deflate=True)
    attacker.pour("bomb", frame(BINARY, large_bomb(attacker), compressed=True))
    attacker.refused("bomb", "/ws/echo", 1009, "message too big")


@attack("bomb-in-fragments", *SMALL)
def many_fragments(attacker):
    """A byte of it in each frame, so that no frame is worth a word."""
    attacker.open("bomb", "/ws/echo", deflate=True)
    data = bomb(4 * MIB)
    pieces = [data[at : at + 1] for at in range(len(data))]
    frames = [frame(BINARY, pieces[0], final=False, compressed=True)]
    frames += [frame(CONTINUATION, piece, final=False) for piece in pieces[1:]]
    attacker.pour("bomb", "".join(frames))
    attacker.refused("bomb", "/ws/echo", 1009, "message too big")


@attack("bombs-that-nobody-reads", *SMALL)
def unread_bombs(attacker):
    """Each as large as a message may be, to an application that takes none: they wait at the peer, not inflated."""
    attacker.open("bombs", "/ws/never-reads", deflate=True)
    taken = attacker.stalls("bombs", frame(BINARY, bomb(MIB), compressed=True), 100_000)
    return f"stalled after {taken / MIB:.1f} MiB"


@attack("bombs-that-are-read-in-pieces", *SMALL)
def bombs_in_pieces(attacker):
    """The application has had some of the message when it turns out to be too long."""
    attacker.open("bomb", "/ws/fragments", deflate=True)
    attacker.pour("bomb", frame(BINARY, large_bomb(attacker), compressed=True))
    attacker.refused("bomb", "/ws/fragments", 1009, "message too big")


@attack("bombs-that-do-not-end", *SMALL, growth=160 * MIB)
def unended_bombs(attacker):
    """Twenty at once over each protocol, inflated as far as a message may be, and not final: what is held is no more than
    that, and given back."""
    fields = {"sec-websocket-extensions": "permessage-deflate"}
    data = frame(BINARY, bomb(MIB - 1), final=False, compressed=True)
    attacker.do("open_many", of="bomb", path="/ws/echo", count=20, fields=fields, hex=data)
    same(attacker.do("get", path="/disconnects")["status"], 200, "the answer beside")
    time.sleep(0.5)
    held = attacker.server.memory()[0]
    attacker.do("leave", of="bomb")
    return f"{held / MIB:.0f} MiB"


@attack("compressed-nothing")
def compressed_nothing(attacker):
    """A message of empty blocks (RFC 7692 section 7.2.3.6): it never grows, and never ends."""
    attacker.open("it", "/ws/echo", deflate=True)
    empty = bytes.fromhex("000000ffff") * 10_000
    attacker.pour("it", frame(BINARY, empty, final=False, compressed=True))
    attacker.pour("it", frame(CONTINUATION, empty, final=False), 1000 if attacker.world.full else 200)


# Crumbs


def state_crumbs(name, payload, path):
    @attack(f"{name}-fragments{path.replace('/', '-')}")
    def crumbs(attacker):
        """One frame more than a message may have."""
        attacker.open("it", path)
        attacker.pour("it", frame(BINARY, payload, final=False))
        attacker.pour("it", frame(CONTINUATION, payload, final=False), FOR_EVER if attacker.world.full else 200_000)
        attacker.refused("it", path, 1009, "too many fragments")


state_crumbs("tiny", b"a", "/ws/echo")
state_crumbs("empty", b"", "/ws/echo")
state_crumbs("empty", b"", "/ws/fragments")


@attack("as-many-fragments-as-may-be")
def just_enough(attacker):
    attacker.open("it", "/ws/echo")
    attacker.pour("it", frame(BINARY, b"a", final=False))
    attacker.pour("it", frame(CONTINUATION, b"a", final=False), FRAGMENTS - 2)
    attacker.pour("it", frame(CONTINUATION, b"a"))
    same(attacker.do("messages", of="it", count=FRAGMENTS), {"bytes": FRAGMENTS, "close": None}, "the echo")


def state_unread_messages(name, payload):
    @attack(f"{name}-messages-that-nobody-reads")
    def unread(attacker):
        attacker.open("it", "/ws/never-reads")
        taken = attacker.stalls("it", frame(BINARY, payload), FOR_EVER)
        return f"stalled after {taken / MIB:.1f} MiB"


state_unread_messages("tiny", b"a")
state_unread_messages("empty", b"")


@attack("messages-before-the-acceptance")
def too_early(attacker):
    """They wait at the peer."""
    path = attacker.path("/ws/never-accepts")
    attacker.do("open_many", of="it", path=path, count=1, answered=False)
    taken = attacker.stalls("it-0", frame(BINARY, bytes(1000)), FOR_EVER)
    return f"stalled after {taken / MIB:.1f} MiB"


@attack("messages-that-nobody-reads-on-many-streams", protocols=MULTIPLEXED)
def many_unread(attacker):
    """They may fill the connection's window, but not the neighbour's way."""
    for number in range(12):
        attacker.open(f"it-{number}", "/ws/never-reads")
        attacker.pour(f"it-{number}", frame(BINARY, bytes(50_000)), 20, patience=0.1)


@attack("data-frames-of-one-byte", protocols=MULTIPLEXED, growth=24 * MIB)
def data_frames(attacker):
    """What waits for its reader costs little more than its bytes, however small the pieces are in which it comes."""
    attacker.open("accepted-0", "/ws/never-reads")
    attacker.do("open_many", of="undecided", path=attacker.path("/ws/never-accepts"), count=1, answered=False)
    for of in ("accepted-0", "undecided-0"):
        attacker.do("crumble", of=of, hex=frame(BINARY), times=20_000)


# Control frames


def state_flood(name, opcode, size, reads):
    @attack(name)
    def flood(attacker):
        attacker.open("it", "/ws/watch", reads=reads)
        attacker.pour("it", frame(opcode, bytes(size)), FOR_EVER if attacker.world.full else 100_000)
        over = attacker.refused("it", "/ws/watch", 1008, "too many control frames")
        expect(over["frames"].get(str(PONG), 0) <= 1200, f"what came back: {over['frames']}")


state_flood("pings", PING, 125, reads=True)
state_flood("pings-whose-answers-are-not-read", PING, 125, reads=False)
state_flood("pings-without-payload", PING, 0, reads=True)
state_flood("pongs", PONG, 125, reads=True)


@attack("pings-within-a-message")
def pings_within(attacker):
    """Between the fragments, where nothing of the message can be told to the application."""
    attacker.open("it", "/ws/never-reads")
    attacker.pour("it", frame(BINARY, b"a", final=False) + frame(PING) * 2000)
    attacker.refused("it", "/ws/never-reads", 1008, "too many control frames")


# Announcements


def state_length(name, announced, code, reason):
    @attack(f"announces-{name}")
    def announces(attacker):
        attacker.open("it", "/ws/echo")
        attacker.pour("it", frame(BINARY, b"a", announced=announced))
        attacker.refused("it", "/ws/echo", code, reason)


state_length("2-to-the-62", 1 << 62, 1009, "frame too big")
state_length("2-to-the-63", 1 << 63, 1002, "invalid frame length")
state_length("one-byte-too-many", 16 * MIB + 1, 1009, "frame too big")


@attack("announces-16-mib-and-sends-nothing", growth=24 * MIB)
def announces_much(attacker):
    """Memory is taken for what has come, not for what was said."""
    count = 90
    announced = frame(BINARY, b"a", announced=16 * MIB)
    answer = attacker.do("open_many", of="it", path="/ws/echo", count=count, hex=announced)
    same(sum(answer["statuses"].values()), count, "the openings")
    same(list(answer["statuses"]), [str(101 if attacker.protocol.version == "1.1" else 200)], "their answers")
    same(attacker.do("get", path="/disconnects")["status"], 200, "the answer beside")
    attacker.do("leave", of="it")
