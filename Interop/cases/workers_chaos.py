"""Workers and their supervisor under random blows, and where the system is unkind to them."""

import contextlib
import fcntl
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time

from lib.case import case
from lib.load import SHARE, Load
from lib.report import Skipped, expect, same
from lib.supervised import Supervised, await_gone, children, supervised

from .workers_replaced import replace, reload, upgradable

KINDS = {
    "h1": ("http1", 2, 1, "/process", 0.05, SHARE),
    "h2-tls": ("http2-tls", 1, 2, "/process", 0.08, SHARE),
    "h3": ("http3", 2, 2, "/process", 0.08, SHARE),
    "poll-h1": ("http1", 1, 1, "/poll?seconds=0.5", 0.02, SHARE),
    "ws": ("echo", 2, 1, "/ws/echo", 0.08, SHARE),
}


def await_whole(server, seconds=20):
    """Until every place has one worker, which is active, and nobody else is left."""
    deadline = time.monotonic() + seconds
    while True:
        workers = server.workers() if server.can_be_asked() else []
        whole = [each["index"] for each in workers] == list(range(len(workers)))
        if workers and whole and all(each["state"] == "active" for each in workers) and len(server.children()) == len(workers):
            return workers
        states = " ".join(f"{each['index']}:{each['state']}" for each in workers)
        expect(time.monotonic() < deadline, f"not whole after {seconds} s: {states}{server.tail()}")
        time.sleep(0.05)


@case("workers-storm-of-signals", limit=180)
def storm(world):
    """Reloads, upgrades, more and fewer workers, and workers that others tell to stop, at random: nobody's request fails."""
    dice, told, done = random.Random(7), set(), 0
    signals = [signal.SIGHUP] * 3 + [signal.SIGUSR2] + [signal.SIGTTIN, signal.SIGTTOU] * 2 + [signal.SIGTERM] * 2
    with supervised(world, "interop-app", 3, "--max-workers", "5") as server:
        with Load(world, server, KINDS) as load:
            load.await_progress(2)
            end = time.monotonic() + (60 if world.full else 6)
            while time.monotonic() < end:
                number = dice.choice(signals)
                if number == signal.SIGTERM:
                    # A second one ends a worker at once.
                    strike(dice.choice([each for each in server.children() if each not in told] or [None]), told)
                else:
                    server.signal(number)
                done += 1
                time.sleep(dice.choice([0.001, 0.01, 0.1, 0.3, 0.6]))
            workers = await_whole(server)
            load.await_progress(2)
            tally = load.stop()
        tally.nothing_failed()
        tally.politely()
    return f"{done} signals, {len(workers)} workers, {tally}"


def strike(process, told):
    if process is None:
        return
    told.add(process)
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGTERM)


@case("workers-signals-while-the-executable-changes", limit=60)
def signals_during_upgrade(world):
    """Whenever they come: none has its default effect, and the last ones are still acted on."""
    with supervised(world, "interop-app", 1, "--max-workers", "2") as server:
        for _ in range(4):
            before = server.active()
            server.signal(signal.SIGUSR2)
            seen = server.output().count("goes on in place")
            deadline = time.monotonic() + 10
            while server.output().count("goes on in place") == seen:
                expect(time.monotonic() < deadline, f"no new executable{server.tail()}")
                for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
                    expect(server.alive, server.alive or server.why_dead())
                    server.signal(number)
                time.sleep(0.001)
            await_whole(server)
            expect(not set(before) & set(server.active()), "an old worker is still there")
        # Until there are as many as the end of the case knows.
        server.signal(signal.SIGTTOU)
        server.await_workers(1)
        server.ask()


@case("workers-upgrade-to-another-program")
def another_program(world):
    """It ends with 0 whatever it is told, and knows nothing of supervisors."""
    with upgradable(world) as path, supervised(world, "interop-app", 1) as server:
        before = server.active()
        good = shutil.copy2(path, path + ".good")
        replace(shutil.which("true"), path)
        server.signal(signal.SIGUSR2)
        line = server.await_line(r"Z error ")
        same(server.active(), before, "the workers")
        replace(good, path)
        reload(server, 1, signal.SIGUSR2)
    return line.split(": ", 1)[1]


# A log that cannot be written


class Silent(Supervised):
    """A server whose standard error is a pipe; nobody reads it once the banner has come."""

    def __init__(self, command, log, wanted=("http",), **how):
        self.process, (self.reader, self.writer) = None, os.pipe()
        fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, 4096)
        self.log, self.name, self.socket_path = log, os.path.basename(log), log + ".status"
        self.process = subprocess.Popen(
            [*command, "--status-socket", self.socket_path], stdin=subprocess.DEVNULL, stderr=self.writer, **how
        )
        self.addresses = self.await_banner(wanted)

    def output(self):
        """All so far."""
        with contextlib.suppress(OSError), open(self.log, "ab") as log:
            os.set_blocking(self.reader, False)
            while piece := os.read(self.reader, 1 << 16):
                log.write(piece)
        with open(self.log, errors="replace") as log:
            return log.read()

    def kill(self):
        super().kill()
        for end in (self.reader, self.writer):
            with contextlib.suppress(OSError):
                os.close(end)


@case("workers-log-that-nobody-reads")
def log_is_full(world):
    """Lines are lost, and nothing else: requests, a reload, the status, and the end go on."""
    server = world.start("interop-app", "--workers", "2", "--access-log", kind=Silent)
    try:
        before = server.await_workers(2)
        slowest = 0.0
        for _ in range(150):
            began = time.monotonic()
            server.ask()
            slowest = max(slowest, time.monotonic() - began)
        after = reload(server, 2)
        expect(not set(before) & set(after), "an old worker is still there")
        server.signal()
        same(server.process.wait(10), 0, "the exit code")
        await_gone(after, 1)
    finally:
        server.kill()
    return f"the slowest of 150 answers after {slowest:.2f} s"


@case("workers-log-whose-reader-is-gone")
def log_is_broken(world):
    server = world.start("interop-app", "--workers", "1", kind=Silent)
    try:
        server.await_workers(1)
        os.close(server.reader)
        os.close(server.writer)
        reload(server, 1)
        last = reload(server, 1, signal.SIGUSR2)
        server.signal()
        same(server.process.wait(10), 0, "the exit code")
        await_gone(last, 1)
    finally:
        server.kill()


# A worker that has no room


@case("workers-short-of-descriptors")
def short_of_descriptors(world):
    """One that cannot take over the sockets of a slot says so, and serves on."""
    with supervised(world, "interop-app", 1, "--max-workers", "2") as server:
        (first,) = server.await_workers(1)
        server.signal(signal.SIGTTIN)
        server.await_workers(2)
        before = resource.prlimit(first, resource.RLIMIT_NOFILE)
        resource.prlimit(first, resource.RLIMIT_NOFILE, (3, before[1]))
        server.signal(signal.SIGTTOU)
        line = server.await_line("slot 1 comes without")
        resource.prlimit(first, resource.RLIMIT_NOFILE, before)
        same(server.await_workers(1), [first], "the worker that is left")
        server.ask()
        expect(reload(server, 1) != [first], "the worker is still there")
    return line.split(": ", 1)[1]


# The first process of a container


@case("workers-first-process-reaps-orphans")
def first_process(world):
    tools = [world.tool(name, "util-linux") for name in ("unshare", "nsenter")]
    alone = [tools[0], "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        raise Skipped("no namespace of processes can be made here")
    usual, world.command = world.command, lambda *what: [*alone, *type(world).command(world, *what)]
    try:
        server = world.start("interop-app", "--workers", "2", kind=Supervised)
    finally:
        world.command = usual
    try:
        server.await_workers(2)
        (first,) = children(server.process.pid)
        enter = [tools[1], "--target", str(first), "--pid", "--mount"]
        subprocess.run([*enter, "sh", "-c", "sleep 0.3 &"], check=True, timeout=5)
        time.sleep(0.1)
        same(len(every_child(first)), 3, "the children while the orphan runs")
        time.sleep(0.5)
        same(len(every_child(first)), 2, "the children after the orphan's end")
        os.kill(first, signal.SIGTERM)
        same(server.wait(10), 0, "the exit code")
    finally:
        server.kill()


def every_child(parent):
    """The dead that nobody has taken away, too."""
    found = []
    for thread in os.listdir(f"/proc/{parent}/task"):
        with open(f"/proc/{parent}/task/{thread}/children") as file:
            found += file.read().split()
    return found


# Datagrams


@case("workers-strange-datagrams", limit=60)
def datagrams(world):
    """Runts, connection IDs and tokens that were never given out, unknown versions: good clients notice nothing."""
    dice = random.Random(11)
    kinds = {"h3": KINDS["h3"]}
    made = {
        "runts": lambda: dice.randbytes(dice.randrange(31)),
        "short headers": lambda: bytes([0x40 | dice.randrange(64)]) + dice.randbytes(dice.choice([19, 30, 1200])),
        "Initials": lambda: initial(dice, 8),
        "Initials for a worker": lambda: initial(dice, 19),
        "forged tokens": lambda: initial(dice, 19, dice.randbytes(dice.choice([1, 40, 60]))),
        "versions": lambda: initial(dice, 8, version=0x1A2A3A4A),
    }
    answers = 0
    with supervised(world, "interop-app", 3) as server, Load(world, server, kinds) as load:
        load.await_progress(2)
        place = ("127.0.0.1", server.port("https"))
        for make in made.values():
            with contextlib.ExitStack() as stack:
                senders = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(20)]
                for number in range(1000):
                    senders[number % 20].sendto(make(), place)
                    if number % 50 == 0:
                        time.sleep(0.005)
                load.await_progress(2)
                answers += sum(received(each) for each in senders)
        server.await_line("prove its address")
        load.stop().nothing_failed()
    return f"{answers} datagrams in answer to {1000 * len(made)}"


def initial(dice, length, token=b"", version=1):
    head = bytes([0xC0 | dice.randrange(16)]) + version.to_bytes(4, "big")
    head += bytes([length]) + dice.randbytes(length) + bytes([8]) + dice.randbytes(8)
    head += bytes([len(token)]) + token
    rest = 1200 - len(head) - 2
    return head + (0x4000 | rest).to_bytes(2, "big") + dice.randbytes(rest)


def received(sender):
    count = 0
    with contextlib.suppress(BlockingIOError):
        while sender.recv(2048, socket.MSG_DONTWAIT):
            count += 1
    return count
