"""Workers that die, hang, are busy, or cannot start."""

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from lib.case import case
from lib.report import Failure, expect, same
from lib.supervised import Supervised, await_gone, gone, stop, supervised

WAITING = 40
"""Connections, of which some wait in the queue of one worker out of four: none with a chance of 1e-5."""


@case("workers-accept-queue-of-the-dead")
def accept_queue(world):
    """What waits for a worker that was stopped, and then dies, is served by its successor."""
    with supervised(world, "interop-app", 4) as server:
        stopped = server.active()[1]
        stop(stopped)
        connections = [asking(server.port("http")) for _ in range(WAITING)]
        time.sleep(0.5)
        waiting = [each for each in connections if not answered(each, 0)]
        expect(waiting, "no connection waits for the stopped worker")
        expect(len(waiting) < WAITING / 2, f"{len(waiting)} of {WAITING} wait for one worker of four")
        os.kill(stopped, signal.SIGKILL)
        killed = time.monotonic()
        for connection in waiting:
            expect(answered(connection, 5), f"one of {len(waiting)} was not answered")
        seconds = time.monotonic() - killed
        bodies = [connection.recv(1000) for connection in connections]
        expect(all(body.startswith(b"HTTP/1.1 200") for body in bodies), "an answer is not a 200")
        for connection in connections:
            connection.close()
        server.await_workers(4, but=[stopped])
    return f"{len(waiting)} waited, and had their answers after {seconds * 1000:.0f} ms"


def asking(port):
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.sendall(b"GET /process HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    return connection


def answered(connection, seconds):
    connection.settimeout(seconds)
    try:
        return connection.recv(1, socket.MSG_PEEK) != b""
    except (BlockingIOError, TimeoutError):
        return False
    finally:
        connection.settimeout(5)


@case("workers-dead-are-replaced")
def dead(world):
    """By a fault of their own, all at the same time, and a few times in a row."""
    with supervised(world, "interop-app", 2) as server:
        before = server.active()
        with_a_fault(server)
        deadline = time.monotonic() + 5
        while set(server.active()) == set(before):
            expect(time.monotonic() < deadline, "the dead worker is still listed")
        for _ in range(3):
            now = server.await_workers(2)
            for process in now:
                os.kill(process, signal.SIGKILL)
            server.await_workers(2, but=now)
        server.ask()
        line = server.await_line(r"(error|warning) .*(signal|SIG|killed)")
    return line.split(": ", 1)[1]


def with_a_fault(server):
    try:
        server.ask("/die")
    except (OSError, EOFError):
        return
    except Exception as error:
        if isinstance(error, Failure):
            raise
        return
    raise Failure("the worker answered before it died")


@case("workers-hung-is-replaced")
def hung(world):
    with supervised(world, "interop-app", 2, "--worker-timeout", "1") as server:
        before = server.active()
        with socket.create_connection(("127.0.0.1", server.port("http"))) as blocking:
            blocking.sendall(b"GET /block?seconds=30 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            began = time.monotonic()
            while len(set(server.active()) & set(before)) == 2:
                expect(time.monotonic() - began < 10, f"nobody was replaced: {server.workers()}")
                time.sleep(0.02)
            seconds = time.monotonic() - began
        expect(seconds > 0.9, f"replaced after {seconds:.1f} s, before its time")
        after = server.await_workers(2)
        same(len(set(after) & set(before)), 1, "workers that were left alone")
        for _ in range(20):
            server.ask()
    return f"after {seconds:.1f} s"


@case("workers-busy-is-left-alone")
def busy(world):
    """Its loop turns rarely, and others want its core."""
    with supervised(world, "interop-app", 2, "--worker-timeout", "1.5") as server:
        before = server.active()
        hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(6)]
        try:
            with ThreadPoolExecutor(6) as pool:
                working = [pool.submit(server.ask, "/work?seconds=5&turn=0.3", 50) for _ in range(6)]
                for each in working:
                    each.result()
        finally:
            for hog in hogs:
                hog.kill()
                hog.wait()
        same(server.await_workers(2), before, "the workers")


@case("workers-cannot-start")
def cannot_start(world):
    """Crashes again and again, and no worker is ever ready: exit code 3, and a sentence about it."""
    with open(world.path("start"), "w") as how:
        how.write("abort")
    code, output, seconds = run_to_end(world, world.path("start"))
    same(code, 3, "the exit code")
    expect(1 < seconds < 30, f"it took {seconds:.1f} s: between the attempts there is a pause")
    return output.splitlines()[-1]


@case("workers-application-refuses")
def application_refuses(world):
    """Told at once: trying again would not help."""
    with open(world.path("start"), "w") as how:
        how.write("refuse")
    code, output, seconds = run_to_end(world, world.path("start"))
    same(code, 3, "the exit code")
    expect("does not want to start" in output, f"the application's reason is not told: {output[-300:]}")
    expect(seconds < 5, f"it took {seconds:.1f} s")
    return output.splitlines()[-1]


def run_to_end(world, start):
    """Of an application that cannot start."""
    options = ["--workers", "2", "--bind", "127.0.0.1:0", *world.tls_options, "--status-socket", "none"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("APUS_")}
    began = time.monotonic()
    done = subprocess.run(
        world.command("interop-app", *options),
        env=environment | {"INTEROP_START": start},
        capture_output=True,
        text=True,
        timeout=40,
    )
    return done.returncode, done.stderr, time.monotonic() - began


@case("workers-reload-that-fails")
def reload_fails(world):
    """The old workers stay; the next reload, of an application that is well again, succeeds."""
    start = world.path("reload-start")
    with supervised(world, "interop-app", 2, environment={"INTEROP_START": start}) as server:
        before = server.active()
        for how in ("refuse", "abort"):
            with open(start, "w") as file:
                file.write(how)
            seen = len([line for line in server.output().splitlines() if " error " in line])
            server.signal(signal.SIGHUP)
            line = server.await_line(r" error ", seen + 1)
            deadline = time.monotonic() + 10
            while len(server.children()) > 2 and time.monotonic() < deadline:
                server.ask()
            same(server.await_workers(2), before, f"the workers after a reload that fails ({how})")
        os.unlink(start)
        server.signal(signal.SIGHUP)
        server.await_workers(2, but=before)
    return line.split(": ", 1)[1]


@case("workers-slow-start-takes-nothing")
def slow_start(world):
    """New workers take no connection before their startup has succeeded; the old ones do meanwhile."""
    start = world.path("slow-start")
    with supervised(world, "interop-app", 2, environment={"INTEROP_START": start}) as server:
        before = server.active()
        with open(start, "w") as file:
            file.write("slow")
        server.signal(signal.SIGHUP)
        began, slowest = time.monotonic(), 0.0
        while set(server.active()) & set(before):
            asked = time.monotonic()
            server.ask()
            slowest = max(slowest, time.monotonic() - asked)
        seconds = time.monotonic() - began
        expect(seconds > 1.9, f"new workers are active after {seconds:.1f} s, before they have started")
        expect(slowest < 1, f"a request waited {slowest:.1f} s for a worker that starts")


@case("workers-outlive-no-supervisor")
def supervisor_dies(world):
    """They see that it is gone, let a request end, and leave."""
    server = world.start("interop-app", "--workers", "2", kind=Supervised)
    workers = server.await_workers(2)
    try:
        with socket.create_connection(("127.0.0.1", server.port("http")), 5) as long:
            long.sendall(b"GET /poll?seconds=1.5 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            time.sleep(0.3)
            server.process.kill()
            server.process.wait()
            answer = long.recv(1000)
            expect(answer.startswith(b"HTTP/1.1 200"), f"the request that ran was answered with {answer[:60]}")
        await_gone(workers, 5)
    finally:
        for process in workers:
            if not gone(process):
                os.kill(process, signal.SIGKILL)
