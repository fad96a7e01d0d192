"""HTTP/3 through a NAT that changes its port every few packets, with several workers behind it."""

import json
import os
import signal
import subprocess
import sys
import time

from lib.case import case
from lib.curl import curl
from lib.gtls import command
from lib.load import KINDS, SHARE, Load
from lib.nat import Nat
from lib.protocols import H3
from lib.report import expect, same
from lib.server import MIB
from lib.supervised import Supervised, supervised
from lib.world import HERE

REQUESTS = 1000
"""Of each client."""
CLIENTS = 4
TOLD = 1.0
"""Seconds after the successor's start by which a dead worker's clients have a stateless reset."""


@case("workers-rebinding-ngtcp2", limit=90)
def ngtcp2_rebinds(world):
    """A quiet client says nothing where each of its requests has been answered."""
    with supervised(world, "hello", 4) as server:
        with Nat(server) as nat:
            clients = [
                subprocess.Popen(
                    command(world, nat, "-n", REQUESTS), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                )
                for _ in range(CLIENTS)
            ]
            for client in clients:
                said, _ = client.communicate(timeout=60)
                same((client.returncode, said.strip()), (0, ""), "what ngtcp2's client says")
        deadline = time.monotonic() + 5
        # Workers tell of their requests once a second.
        while (served := sum(each["requests"] for each in server.workers())) != REQUESTS * CLIENTS:
            expect(time.monotonic() < deadline, f"workers count {served} requests, not {REQUESTS * CLIENTS}")
            time.sleep(0.05)
    return f"{REQUESTS * CLIENTS} requests, {nat}"


@case("workers-rebinding-curl")
def curl_rebinds(world):
    path = world.file(4 * MIB)
    with supervised(world, "interop-app", 4) as server:
        with Nat(server) as nat:
            for _ in range(3):
                reply = curl(world, H3, "--data-binary", f"@{path}", nat.url(H3, "/body-count"))
                same(reply.text.strip(), str(4 * MIB), "the bytes that came")
    return str(nat)


@case("workers-rebinding-load", limit=90)
def load_rebinds(world):
    """Thousands of requests; connections begin and end meanwhile."""
    wanted = 10_000 if world.full else 2000
    kinds = {"h3": ("http3", 8, 3, "/process", 0.005, SHARE)}
    with supervised(world, "interop-app", 4) as server:
        with Nat(server, every=20) as nat, Load(world, server, kinds, h3=nat) as load:
            while load.tell().requests < wanted:
                time.sleep(0.1)
            tally = load.stop()
        tally.nothing_failed()
        idle = [each["pid"] for each in server.workers() if not each["requests"]]
        expect(not idle, f"workers without a request: {idle}")
    return f"{tally}, {nat}"


@case("workers-datagrams-in-trains", limit=90)
def trains(world):
    """What the kernel hands over as one goes where its first datagram says: the rest has to be forwarded."""
    interpreter = world.fetched("fetch-python-clients", "venv/bin/python")
    connections, requests = 12, 20
    with supervised(world, "interop-app", 4) as server:
        port = str(server.port("https"))
        burst = [interpreter, f"{HERE}/clients/quic_burst.py", port, str(connections), str(requests), "20000"]
        done = subprocess.run(burst, capture_output=True, text=True, timeout=60)
        expect(not done.returncode, f"the client failed: {done.stderr.strip()[-300:]}")
        told = json.loads(done.stdout)
    same(told["ended"], [], "connections that ended")
    answers = told["answers"]
    same(sum(answers.values()), connections * requests, "answers")
    same(answers["counted"], connections * requests // 2, "bodies that were whole")
    reached = len(set(told["reached"]))
    expect(reached > 1, f"all connections went to one worker: {told['reached']}")
    return f"{told['mixed']} datagrams in trains of several connections, to {reached} workers"


class Sandboxed(Supervised):
    def __init__(self, command, log, wanted, **how):
        super().__init__([sys.executable, f"{HERE}/clients/sandbox.py", *command], log, wanted, **how)


@case("workers-that-cannot-be-steered-to", limit=90)
def not_steered(world):
    """Where the kernel takes no program, one worker forwards everything, and one warning says so."""
    kinds = KINDS | {"h3": ("http3", 6, 2, "/process", 0.04, SHARE)}
    with supervised(world, "interop-app", 3, kind=Sandboxed) as server:
        with Nat(server, every=20) as nat, Load(world, server, kinds, h3=nat) as load:
            load.await_progress(10)
            before = server.active()
            server.signal(signal.SIGHUP)
            server.await_workers(3, but=before)
            load.await_progress(10)
            tally = load.stop()
        tally.nothing_failed()
        tally.politely()
        warnings = [line for line in server.output().splitlines() if " warning " in line]
        same(len(warnings), 1, "warnings")
    return f"{tally}, {nat}; {warnings[0].split(': ', 1)[1]}"


@case("workers-killed-in-turn", limit=120)
def killed_in_turn(world):
    """Only the dead worker's own requests fail; its clients over HTTP/3 are told as soon as its successor runs."""
    kinds = KINDS | {"h3": ("http3", 10, 2, "/process", 0.04, SHARE)}
    with supervised(world, "interop-app", 4) as server:
        with Nat(server, every=20) as nat, Load(world, server, kinds, h3=nat) as load:
            load.await_progress(2)
            deaths = [kill(server, process) for process in server.active()]
            load.await_progress(3)
            tally = load.stop()
    foreign = [each for each in tally.failures if not any(death.explains(each) for death in deaths)]
    expect(not foreign, f"requests of other workers failed: {foreign[:4]}")
    resets = [(reset, death) for reset in tally.resets for death in deaths if death.explains(reset)]
    expect(resets, "no client had a stateless reset")
    expect(len(resets) >= len(tally.resets), f"connections to other workers were reset: {tally.resets}")
    late = max(reset["at"] - death.ready for reset, death in resets)
    expect(late < TOLD, f"a client was told {late:.2f} s after the successor had started")
    told = max(reset["at"] - death.at for reset, death in resets)
    restart = max(death.ready - death.at for death in deaths)
    return (
        f"{tally.requests} requests, {len(tally.failures)} of dead workers failed, {len(tally.resets)} resets at most"
        f" {told * 1000:.0f} ms after a death, successors after at most {restart * 1000:.0f} ms; {nat}"
    )


class Death:
    def __init__(self, process, at, ready):
        self.process, self.at, self.ready = process, at, ready

    def explains(self, what):
        """A connection that had no answer yet does not know whose it was: the death came in the middle of what failed."""
        if what["process"] is None:
            return what["began"] <= self.ready and self.at <= what["at"]
        return what["process"] == self.process


def kill(server, process):
    at = time.monotonic()
    os.kill(process, signal.SIGKILL)
    server.await_workers(4, but=[process])
    return Death(process, at, time.monotonic())
