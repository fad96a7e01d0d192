"""WebSockets: the same over an Upgrade on HTTP/1.1 and an extended CONNECT on HTTP/2 and HTTP/3. Openings, and messages."""

from lib import raw
from lib.case import case
from lib.curl import Curl
from lib.memory import bounded
from lib.protocols import EVERY, H1, H1_TLS, MULTIPLEXED
from lib.report import expect, same
from lib.server import MIB
from lib.websocket import ENABLE_CONNECT_PROTOCOL, attempt, connect, fields

LIMIT = 16 * MIB
"""The largest message that is taken by default."""


def app(world):
    return world.server("interop-app")


@case("websocket-echo", EVERY)
def echo(world, protocol):
    """Every length of a frame's length field, and the ends of each (RFC 6455 section 5.2)."""
    with connect(world, app(world), protocol, "/ws/echo") as client:
        for text in ("", "a", "Grüße, 世界 🐦"):
            client.echoed(text=text)
        for size in (0, 1, 125, 126, 65_535, 65_536, MIB):
            client.echoed(size=size)


@case("websocket-largest-message", EVERY)
def largest(world, protocol):
    with connect(world, app(world), protocol, "/ws/echo") as client:
        client.echoed(size=LIMIT)


@case("websocket-message-past-the-limit", EVERY)
def past_the_limit(world, protocol):
    with connect(world, app(world), protocol, "/ws/echo") as client:
        client.begin("send", size=LIMIT + 1)
        client.told()
        same(client.closed()[0], 1009, "the code")


@case("websocket-in-fragments", EVERY)
def fragments(world, protocol):
    """An application that takes a message in pieces and sends it so."""
    with connect(world, app(world), protocol, "/ws/fragments") as client:
        client.echoed(text="short")
        client.echoed(size=3 * MIB)
        client.echoed(text="世界" * 4000)


@case("websocket-deflate", EVERY)
def deflate(world, protocol):
    with connect(world, app(world), protocol, "/ws/echo", deflate=True) as client:
        agreed = fields(client, "sec-websocket-extensions")
        same([each.split(";")[0] for each in agreed], ["permessage-deflate"], "the extensions")
        for _ in range(3):
            client.echoed(letters=200_000)
            client.echoed(size=70_000)
            client.echoed(text="")
        return agreed[0]


@case("websocket-deflate-that-nobody-offers", EVERY)
def no_deflate(world, protocol):
    with connect(world, app(world), protocol, "/ws/echo") as client:
        same(fields(client, "sec-websocket-extensions"), [], "the extensions")


@case("websocket-deflate-that-inflates-past-the-limit", EVERY)
def inflates_past_the_limit(world, protocol):
    """A few KiB on the wire, and more than a message may have."""
    with bounded(app(world), 48 * MIB) as growth:
        with connect(world, app(world), protocol, "/ws/echo", deflate=True) as client:
            client.begin("send", letters=LIMIT + 8)
            client.told()
            same(client.closed()[0], 1009, "the code")
    return growth


@case("websocket-subprotocol", EVERY)
def subprotocol(world, protocol):
    with connect(world, app(world), protocol, "/ws/subprotocol", subprotocols=["chat.v1", "chat.v2"]) as client:
        same(fields(client, "sec-websocket-protocol"), ["chat.v2"], "the subprotocol")
        same(client.do("receive"), {"text": "chat.v1 chat.v2"}, "what the application was offered")
    with connect(world, app(world), protocol, "/ws/subprotocol") as client:
        same(fields(client, "sec-websocket-protocol"), [], "the subprotocol where none is offered")


@case("websocket-scope", EVERY)
def scope(world, protocol):
    path = "/ws/scope?a=%20b"
    with connect(world, app(world), protocol, path, headers=[["X-Mine", "my own"]]) as client:
        same(fields(client, "x-first"), ["one"], "a field of the application's")
        same(sorted(fields(client, "set-cookie")), ["a=1", "b=2"], "two fields of one name")
        scheme = "wss" if protocol.secure else "ws"
        told = f"{protocol.version} {scheme} /ws/scope a=%20b my own"
        same(client.do("receive"), {"text": told}, "the scope")


def state_refusal(name, path, status, body=None):
    @case(f"websocket-{name}", EVERY)
    def refused(world, protocol):
        with attempt(world, app(world), protocol, path) as client:
            same(client.answer.get("status"), status, "the status")
            if body:
                same(client.answer["body"], body, "the body")
        # What else is asked goes on.
        with connect(world, app(world), protocol, "/ws/echo") as client:
            client.echoed(text="still there")


state_refusal("denied-with-a-response", "/ws/deny?status=401", 401, "denied, and that is that\n")
state_refusal("closed-before-the-acceptance", "/ws/close-at-once", 403)
state_refusal("application-throws-at-once", "/ws/throw-at-once", 500)
state_refusal("application-returns-at-once", "/ws/return-at-once", 500)


@case("websocket-origin", EVERY)
def origin(world, protocol):
    with world.fresh("ws-echo", "--ws-allowed-origin", "https://good.example") as server:
        for given in ("https://bad.example", None):
            with attempt(world, server, protocol, "/", origin=given) as client:
                same(client.answer.get("status"), 403, f"the answer to the origin {given}")
        with connect(world, server, protocol, "/", origin="https://good.example") as client:
            client.echoed(text="welcome")


@case("websocket-not-served", [H1, H1_TLS])
def not_served_http1(world, protocol):
    """Without WebSockets an Upgrade is ignored (RFC 9110 section 7.8): the application sees a request."""
    with world.fresh("hello", "--no-ws") as server:
        with attempt(world, server, protocol, "/") as client:
            same(client.answer.get("status"), 200, "the status")


@case("websocket-not-served", MULTIPLEXED)
def not_served(world, protocol):
    """What is not announced may not be used (RFC 8441 section 3): that stream fails, and no other."""
    with world.fresh("hello", "--no-ws") as server:
        with attempt(world, server, protocol, "/") as client:
            expect(client.answer.get("status") != 200, f"the opening was answered with {client.answer}")
            same(client.do("get", path="/")["status"], 200, "the answer to a request beside it")
        with attempt(world, server, protocol, "/", settings_only=True) as client:
            expect(not client.answer["settings"].get(ENABLE_CONNECT_PROTOCOL), f"announced: {client.answer}")


@case("websocket-is-announced", MULTIPLEXED)
def announced(world, protocol):
    with attempt(world, app(world), protocol, "/", settings_only=True) as client:
        same(client.answer["settings"].get(ENABLE_CONNECT_PROTOCOL), 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL")


def state_connect(name, given):
    @case(name, MULTIPLEXED)
    def refused(world, protocol):
        with attempt(world, app(world), protocol, "/ws/echo", connect_protocol=given) as client:
            same(client.answer.get("status"), 501, "the status")
            same(client.do("get", path="/disconnects")["status"], 200, "the answer to a request beside it")


state_connect("connect-for-another-protocol", "connect-udp")
state_connect("plain-connect", None)


@case("websocket-and-requests-beside-it", MULTIPLEXED)
def beside(world, protocol):
    """One connection carries a WebSocket and requests."""
    with connect(world, app(world), protocol, "/ws/echo") as client:
        for _ in range(3):
            client.echoed(size=200_000)
            same(client.do("get", path="/disconnects")["status"], 200, "the status of a request")


@case("websocket-application-never-reads", EVERY)
def never_reads(world, protocol):
    """A flood of messages is held back at the client, and does not pile up here."""
    with bounded(app(world), 16 * MIB) as growth:
        with connect(world, app(world), protocol, "/ws/never-reads") as client:
            sent = client.do("flood", size=100_000, most=200 * MIB)["sent"]
            expect(sent < 100 * MIB, f"{sent / MIB:.0f} MiB were taken")
    return f"{sent / MIB:.1f} MiB were taken, {growth}"


@case("websocket-client-never-reads", [H1, H1_TLS])
def client_never_reads(world, protocol):
    """The application's sends wait."""
    port = app(world).port(protocol.scheme)
    with bounded(app(world), 16 * MIB) as growth:
        connection = raw.connect_tls(world, port, ["http/1.1"]) if protocol.secure else raw.connect(port)
        with connection:
            connection.sendall(upgrade("/ws/push?count=100000&size=10000"))
            same(connection.recv(12), b"HTTP/1.1 101", "the answer's beginning")
            raw.read_to_end(connection, 1 * MIB)
            # Time enough for the server to fill its memory, would it.
            connection.settimeout(2)
            expect(connection.recv(100), "the server sends no more")
    return growth


def upgrade(path, **other):
    """A handshake (RFC 6455 section 4.1), with some of its fields changed or, with None, left out."""
    given = {
        "host": "localhost",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    given |= {name.replace("_", "-"): value for name, value in other.items()}
    lines = [f"GET {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in given.items() if value is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def state_handshake(name, status, *expected, **other):
    @case(f"websocket-handshake-{name}", [H1])
    def answered(world, protocol):
        with raw.connect(app(world).port("http"), timeout=2) as connection:
            connection.sendall(upgrade("/ws/close", **other))
            answer = connection.recv(65536).lower()
        same(answer[:12], f"http/1.1 {status}".encode(), "the answer's beginning")
        for line in expected:
            expect(line in answer, f"there is no {line!r} in {answer!r}")


# The key and what comes of it are RFC 6455's own example.
state_handshake("key", 101, b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n", b"upgrade: websocket\r\n")
state_handshake("lists", 101, connection="keep-alive, UPGRADE", upgrade="h2c, WebSocket")
state_handshake("of-another-version", 426, b"sec-websocket-version: 13\r\n", sec_websocket_version="8")
state_handshake("without-a-key", 400, sec_websocket_key=None)
state_handshake("with-a-short-key", 400, sec_websocket_key="c2hvcnQ=")


@case("websocket-curl", [H1, H1_TLS])
def curl_reads(world, protocol):
    """curl opens ws:// and wss:// by itself, and prints the messages until the close, and of that the code. It does not
    answer the close, and the server resets the connection in the end."""
    with world.fresh("interop-app", "--ws-close-timeout", "0.2") as server:
        url = server.url(protocol, "/ws/push?count=1000&size=300").replace("http", "ws", 1)
        reply = Curl(world, protocol, url, recent=True).reply()
    same(reply.status, 101, f"the status ({reply.complaint})")
    same(len(reply.body), 300_000 + 2, "the bytes that came")
    same(reply.body[-2:], (1000).to_bytes(2, "big"), "the code")
