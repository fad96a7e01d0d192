"""How WebSockets end: by either side's Close frame, by a fault, by a client that is gone, by the server's own end."""

import time

from lib.case import case
from lib.curl import curl
from lib.protocols import EVERY, H1, H3
from lib.report import expect, same
from lib.websocket import connect

from .websocket import app


def noted(world, name, within=3):
    """What the application wrote down about the WebSocket of that name."""
    deadline = time.monotonic() + within
    while True:
        for line in curl(world, H1, app(world).url(H1, "/disconnects")).text.splitlines():
            if line.startswith(f"{name} "):
                return line.removeprefix(f"{name} ").strip()
        expect(time.monotonic() < deadline, f"the application noted nothing within {within} s")
        time.sleep(0.02)


def state_server_close(code, reason=""):
    @case(f"websocket-server-closes-{code}", EVERY)
    def closes(world, protocol):
        name = f"closes-{code}-{protocol.name}"
        with connect(world, app(world), protocol, f"/ws/close?code={code}&reason={reason}&id={name}") as client:
            same(client.closed(), (code, reason), "the Close frame")
            same(client.do("ending")["ending"], "fin", "the tunnel's end")
        same(noted(world, name), f"{code} {reason}".strip(), "what the application saw")


state_server_close(1000)
state_server_close(3000, "so-long")
state_server_close(4999, "x" * 123)


def state_client_close(code, reason, answered):
    @case(f"websocket-client-closes-{code}", EVERY)
    def closes(world, protocol):
        """The answer has the same code; the tunnel ends in order."""
        name = f"client-closes-{code}-{protocol.name}"
        with connect(world, app(world), protocol, f"/ws/watch?id={name}") as client:
            client.do("close", code=code, reason=reason)
            same(client.closed()[0], answered, "the code of the answer")
            same(client.do("ending")["ending"], "fin", "the tunnel's end")
        same(noted(world, name), f"{code} {reason}".strip(), "what the application saw")


state_client_close(1000, "", 1000)
state_client_close(4001, "leaving now", 4001)
state_client_close(1005, "", 1005)


def state_vanishing(how):
    @case(f"websocket-client-is-gone-by-{how}", EVERY)
    def vanishes(world, protocol):
        name = f"gone-{how}-{protocol.name}"
        with connect(world, app(world), protocol, f"/ws/watch?id={name}") as client:
            client.do("end", how=how)
            same(noted(world, name), "1006", "what the application saw")


state_vanishing("fin")
state_vanishing("reset")


@case("websocket-client-is-killed", EVERY)
def killed(world, protocol):
    """On HTTP/3 nothing tells of it but silence, and it is the ping that finds out; elsewhere the connection's end does."""
    if protocol is H3:
        return killed_over_quic(world)
    name = f"killed-{protocol.name}"
    connect(world, app(world), protocol, f"/ws/watch?id={name}").kill()
    same(noted(world, name), "1006", "what the application saw")


def killed_over_quic(world):
    with world.fresh("interop-app", "--ws-ping-interval", "0.3", "--ws-ping-timeout", "0.3") as server:
        connect(world, server, H3, "/ws/watch?id=killed").kill()
        deadline = time.monotonic() + 5
        while "killed 1006" not in curl(world, H1, server.url(H1, "/disconnects")).text:
            expect(time.monotonic() < deadline, "the application noted nothing within 5 s")
            time.sleep(0.05)


def state_fault(name, code, hex):
    @case(f"websocket-{name}", EVERY)
    def fault(world, protocol):
        with connect(world, app(world), protocol, f"/ws/echo") as client:
            client.do("raw", hex=hex)
            same(client.closed()[0], code, "the code")


state_fault("frame-without-a-mask", 1002, "810161")
state_fault("reserved-bit", 1002, "c180" + "00000000")
state_fault("unknown-opcode", 1002, "8380" + "00000000")
state_fault("text-that-is-not-utf-8", 1007, "8182" + "00000000" + "c328")
state_fault("fragmented-ping", 1002, "0980" + "00000000")
state_fault("close-with-1005", 1002, "8882" + "00000000" + "03ed")


def state_last_words(path, code):
    @case(f"websocket-application-{path}s", EVERY)
    def ends(world, protocol):
        with connect(world, app(world), protocol, f"/ws/{path}") as client:
            same(client.do("receive"), {"text": "the last words"}, "the message")
            same(client.closed()[0], code, "the code")


state_last_words("return", 1000)
state_last_words("throw", 1011)


@case("websocket-application-breaks-the-contract", EVERY)
def breaks_the_contract(world, protocol):
    name = f"contract-{protocol.name}"
    with connect(world, app(world), protocol, f"/ws/breaks-the-contract?id={name}") as client:
        same(client.closed()[0], 1000, "the code")
    wrong = ("early message", "second acceptance", "response", "code 1005")
    told = [f"{each} is a violation" for each in wrong] + ["late message is too late"]
    same(noted(world, name), ", ".join(told), "what the application saw")


@case("websocket-client-pings", EVERY)
def client_pings(world, protocol):
    with connect(world, app(world), protocol, "/ws/never-reads") as client:
        for payload in ("", "a payload", "x" * 125):
            client.do("ping", payload=payload)


@case("websocket-server-pings", EVERY)
def server_pings(world, protocol):
    """A client that answers them stays, however short the time it has."""
    with world.fresh("ws-echo", "--ws-ping-interval", "0.2", "--ws-ping-timeout", "0.5") as server:
        with connect(world, server, protocol, "/") as client:
            time.sleep(1.2)
            client.echoed(text="still there")


@case("websocket-drain", EVERY)
def drain(world, protocol):
    """SIGTERM closes every WebSocket with 1001 at once; the server does not wait for its application to be done."""
    server = world.start("ws-echo")
    try:
        with connect(world, server, protocol, "/") as client:
            client.echoed(text="before")
            server.signal()
            told = time.monotonic()
            same(client.closed()[0], 1001, "the code")
            seconds = time.monotonic() - told
            same(server.wait(5), 0, "the server's exit code")
            return f"closed {seconds * 1000:.0f} ms after the signal, the server gone after {time.monotonic() - told:.2f} s"
    finally:
        server.kill()
