"""What workers share: connections evenly, and every secret that a client may bring back to another one of them."""

import json
import os
import random
import signal
import socket
import ssl
import subprocess

from lib import raw
from lib.case import case
from lib.report import expect, same
from lib.statistics import evenly
from lib.supervised import supervised
from lib.world import HERE

WORKERS = 8
ATTEMPTS = 100


def attempts(world, server, kind, count):
    """What became of connections over QUIC, one after the other."""
    interpreter = world.fetched("fetch-python-clients", "venv/bin/python")
    command = [interpreter, f"{HERE}/clients/quic_attempts.py", str(server.port("https")), str(count), kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    expect(not done.returncode, f"the client failed: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def travelled(pairs):
    """How many of them went from one worker to another; there must be several of both."""
    pairs = [(giver, taker) for giver, taker in pairs if giver]
    away = sum(giver != taker for giver, taker in pairs)
    expect(away > len(pairs) / 2, f"only {away} of {len(pairs)} were shown to another worker")
    expect(len({taker for _, taker in pairs}) > WORKERS / 2, "most workers were never asked")
    return f"{len(pairs)} shown, {away} of them to another worker than the one that gave them"


# Spread


@case("workers-spread-tcp")
def spread_tcp(world):
    with supervised(world, "interop-app", 4) as server:
        return evenly([int(server.ask()) for _ in range(600)], server.active())


@case("workers-spread-quic", limit=90)
def spread_quic(world):
    with supervised(world, "interop-app", 4) as server:
        found = attempts(world, server, "new", 240)
        return evenly([each["process"] for each in found], server.active())


@case("workers-spread-after-a-reload")
def spread_again(world):
    """In the other bank, and with one of its workers dead and replaced."""
    with supervised(world, "interop-app", 4) as server:
        before = server.active()
        server.signal(signal.SIGHUP)
        dead = server.await_workers(4, but=before)[0]
        os.kill(dead, signal.SIGKILL)
        after = server.await_workers(4, but=[*before, dead])
        return evenly([int(server.ask()) for _ in range(400)], after)


# Tickets


@case("workers-resume-tcp")
def resume_tcp(world):
    with supervised(world, "interop-app", WORKERS) as server:
        context, sessions, pairs = raw.tls_context(world, ["http/1.1"]), [], []
        for number in range(WORKERS + ATTEMPTS):
            giver, session = random.choice(sessions) if number >= WORKERS else (None, None)
            process, resumed, given = visit(context, server.port("https"), session)
            sessions.append((process, given))
            pairs.append((giver, process))
            same(resumed, number >= WORKERS, f"whether connection {number + 1} resumed a session ({giver} to {process})")
    return travelled(pairs)


def visit(context, port, session):
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        with context.wrap_socket(connection, server_hostname="localhost", session=session) as secure:
            secure.sendall(b"GET /process HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
                answer += secure.recv(4096)
            return int(answer.rsplit(b"\r\n", 1)[1]), secure.session_reused, secure.session


@case("workers-resume-tls-1.2")
def resume_tls12(world):
    with supervised(world, "interop-app", WORKERS) as server:
        settings = {"maximum_version": ssl.TLSVersion.TLSv1_2}
        context, session, reached = raw.tls_context(world, ["http/1.1"], **settings), None, set()
        for number in range(ATTEMPTS // 2):
            process, resumed, session = visit(context, server.port("https"), session)
            same(resumed, number > 0, f"whether connection {number + 1} resumed a session")
            reached.add(process)
    return f"one ticket after the other on {len(reached)} workers"


@case("workers-resume-quic", limit=90)
def resume_quic(world):
    with supervised(world, "interop-app", WORKERS) as server:
        found = attempts(world, server, "ticket", ATTEMPTS)
    for number, each in enumerate(found, 1):
        same(each["resumed"], each["giver"] is not None, f"whether connection {number} resumed a session: {each}")
    return travelled((each["giver"], each["process"]) for each in found)


@case("workers-resume-after-a-reload")
def resume_after_reload(world):
    """The keys are the supervisor's: they outlive the workers."""
    with supervised(world, "interop-app", 2) as server:
        context = raw.tls_context(world, ["http/1.1"])
        before, _, session = visit(context, server.port("https"), None)
        workers = server.active()
        server.signal(signal.SIGHUP)
        server.await_workers(2, but=workers)
        after, resumed, _ = visit(context, server.port("https"), session)
        expect(resumed and before != after, "the session was not resumed after the reload")


# Addresses


@case("workers-retry", limit=90)
def retry(world):
    """Whoever made a Retry, any worker takes its token."""
    with supervised(world, "interop-app", WORKERS, "--quic-retry", "always") as server:
        found = attempts(world, server, "new", ATTEMPTS)
    same({each["retries"] for each in found}, {1}, "the Retry packets of a connection")
    reached = len({each["process"] for each in found})
    expect(reached > WORKERS / 2, f"all connections went to {reached} workers")
    return f"{len(found)} Retries, to {reached} workers"


@case("workers-tokens", limit=90)
def tokens(world):
    """A token of an earlier connection spares the Retry, whichever worker gave it."""
    with supervised(world, "interop-app", WORKERS, "--quic-retry", "always") as server:
        found = attempts(world, server, "token", ATTEMPTS)
    for number, each in enumerate(found, 1):
        same(each["retries"], 1 if each["giver"] is None else 0, f"the Retry packets of connection {number}: {each}")
    return travelled((each["giver"], each["process"]) for each in found)


@case("workers-no-retry")
def no_retry(world):
    with supervised(world, "interop-app", 2, "--quic-retry", "off") as server:
        same({each["retries"] for each in attempts(world, server, "new", 20)}, {0}, "the Retry packets of a connection")
