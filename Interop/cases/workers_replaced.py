"""Workers that are replaced under a constant load: nobody's request fails, and who has to go is told so."""

import contextlib
import os
import shutil
import signal
import tempfile
import time

from lib.case import case
from lib.load import Load
from lib.nat import Nat
from lib.report import expect, same
from lib.supervised import supervised


@contextlib.contextmanager
def under_load(world, server):
    """The load of every kind during the block, some of it before and behind; `load.tally` is what came of it."""
    with Nat(server, every=30) as nat, Load(world, server, h3=nat) as load:
        load.await_progress(2)
        yield load
        load.await_progress(2)
        load.tally = load.stop()
    load.tally.nothing_failed()
    load.tally.politely()


def reload(server, count, number=signal.SIGHUP):
    """Until all workers are new ones and the old ones gone."""
    before = server.active()
    server.signal(number)
    return server.await_workers(count, but=before)


@case("workers-reloaded-under-load", limit=400)
def reloaded(world):
    times = 100 if world.full else 20
    with supervised(world, "interop-app", 4) as server:
        with under_load(world, server) as load:
            began = time.monotonic()
            for _ in range(times):
                reload(server, 4)
            seconds = (time.monotonic() - began) / times
    return f"{times} reloads of {seconds:.1f} s, {load.tally}"


@case("workers-reloads-coalesce")
def coalesced(world):
    """Signals at the same time are one reload, or, where it has begun already, one more behind it."""
    with supervised(world, "interop-app", 2) as server:
        before = server.active()
        for _ in range(10):
            server.signal(signal.SIGHUP)
        server.await_workers(2, but=before)
        time.sleep(0.5)
        server.await_workers(2, but=before)
        server.ask()
        last = max(each["id"] for each in server.workers())
        expect(last <= 2 + 2 * 3, f"ten signals at once made {last - 2} workers of two")
    return f"{last - 2} new workers"


@case("workers-executable-upgraded-under-load", limit=120)
def upgraded(world):
    held = world.path("upgraded.pid")
    with upgradable(world) as path, supervised(world, "interop-app", 2, "--pid-file", held) as server:
        supervisor = server.process.pid
        with under_load(world, server) as load:
            replace(path, path)
            new = os.stat(path).st_ino
            reload(server, 2, signal.SIGUSR2)
            for process in [supervisor, *server.active()]:
                same(os.stat(f"/proc/{process}/exe").st_ino, new, f"the executable of {process}")
        with open(held) as file:
            same(file.read().strip(), str(supervisor), "the PID file")
        # And once more, by the executable that has taken over.
        replace(path, path)
        reload(server, 2, signal.SIGUSR2)
    expect(not os.path.exists(held), "the PID file is still there")
    return str(load.tally)


@case("workers-broken-upgrade-is-refused", limit=90)
def broken_upgrade(world):
    with upgradable(world) as path, supervised(world, "interop-app", 2) as server:
        before, good = server.active(), path + ".good"
        shutil.copy2(path, good)
        for times, spoil in enumerate((cut_short, never_checks, not_executable, os.unlink), 1):
            spoil(path)
            server.signal(signal.SIGUSR2)
            line = server.await_line(r"Z (error|warning) ", times)
            time.sleep(0.2)
            same(server.active(), before, f"the workers after an upgrade to a file that is {spoil.__name__}")
            replace(good, path)
        server.ask()
        reload(server, 2, signal.SIGUSR2)
    return line.split(": ", 1)[1]


@contextlib.contextmanager
def upgradable(world):
    """The application's executable as a file of its own."""
    usual = world.command("interop-app")[0]
    world.interop_app = f"{tempfile.mkdtemp(dir=world.folder)}/interop-app"
    shutil.copy2(usual, world.interop_app)
    try:
        yield world.interop_app
    finally:
        world.interop_app = usual


def replace(source, path):
    """As a package manager does it."""
    shutil.copy2(source, path + ".new")
    os.replace(path + ".new", path)


def written(path, data, mode=0o755):
    with open(path + ".new", "wb") as file:
        file.write(data)
    os.chmod(path + ".new", mode)
    os.replace(path + ".new", path)


def cut_short(path):
    with open(path, "rb") as file:
        written(path, file.read(100_000))


def never_checks(path):
    written(path, b"#!/bin/sh\necho 'no such configuration' >&2\nexit 2\n")


def not_executable(path):
    with open(path, "rb") as file:
        written(path, file.read(), 0o644)


@case("workers-more-and-fewer-under-load", limit=120)
def more_and_fewer(world):
    with supervised(world, "interop-app", 2, "--max-workers", "4") as server:
        with under_load(world, server) as load:
            for number, count in ((signal.SIGTTIN, 3), (signal.SIGTTIN, 4), (signal.SIGTTOU, 3), (signal.SIGTTOU, 2)):
                server.signal(number)
                server.await_workers(count)
                load.await_progress(1)
        for number, count in ((signal.SIGTTOU, 1), (signal.SIGTTOU, 1), (signal.SIGTTIN, 2)):
            server.signal(number)
            server.await_workers(count)
        for _ in range(4):
            server.signal(signal.SIGTTIN)
            time.sleep(0.2)
        server.await_workers(4)
    return str(load.tally)


@case("workers-recycled-by-requests-under-load", limit=120)
def recycled_by_requests(world):
    with supervised(world, "interop-app", 2, "--max-requests", "150", "--max-requests-jitter", "100") as server:
        with under_load(world, server) as load:
            deadline = time.monotonic() + 40
            while (newest := server.workers()[-1:]) and max(each["id"] for each in server.workers()) < 8:
                expect(time.monotonic() < deadline, f"not recycled often enough: {newest}")
                expect(len(server.active()) == 2, f"not two active workers: {server.workers()}")
                time.sleep(0.05)
    return str(load.tally)


@case("workers-recycled-by-age")
def recycled_by_age(world):
    with supervised(world, "interop-app", 2, "--worker-max-age", "2") as server:
        first, deadline = server.active(), time.monotonic() + 15
        while set(first) & set(server.active()):
            server.ask()
            expect(time.monotonic() < deadline, f"workers are older than they may be: {server.workers()}")
            time.sleep(0.05)


@case("workers-recycled-by-memory")
def recycled_by_memory(world):
    with supervised(world, "interop-app", 2, "--worker-max-memory", "200") as server:
        large = int(server.ask("/grow?mib=300"))
        workers, deadline = server.active(), time.monotonic() + 15
        while large in server.active():
            server.ask()
            expect(time.monotonic() < deadline, f"{large} is larger than it may be: {server.workers()}")
            time.sleep(0.05)
        kept = set(workers) - {large}
        expect(kept <= set(server.active()), "the other worker was replaced too")
