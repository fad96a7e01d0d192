"""A server with workers: its supervisor, what that tells of them, and the processes as the system knows them."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import time

from .report import Failure, expect, same
from .server import Server

WAIT = 20
"""Seconds for what a supervisor does about its workers."""
GRACEFUL = "8"
"""Seconds that a worker waits for its connections, where the case says nothing else."""


class Supervised(Server):
    def __init__(self, command, log, wanted=("https", "http"), **how):
        self.socket_path = log.removesuffix(".log") + ".status"
        # Without workers there is no such socket.
        place = ["--status-socket", self.socket_path] if "--workers" in command else []
        super().__init__([*command, *place], log, wanted, **how)

    # What it tells

    def status(self):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            asking.connect(self.socket_path)
            told = b""
            while piece := asking.recv(1 << 16):
                told += piece
        return json.loads(told)

    def workers(self, state=None):
        """What is told of each worker, in the order of their places."""
        workers = [each for each in self.status()["workers"] if state in (None, each["state"])]
        return sorted(workers, key=lambda each: (each["index"], each["id"]))

    def active(self):
        """The processes that get new connections."""
        return [each["pid"] for each in self.workers("active")]

    def await_workers(self, count, but=(), seconds=WAIT):
        """Until so many are active, none of them among `but`, and no others are left; gives their processes."""
        deadline = time.monotonic() + seconds
        while True:
            workers = self.workers() if self.can_be_asked() else []
            processes = [each["pid"] for each in workers if each["state"] == "active"]
            if len(processes) == len(workers) == count and not set(processes) & set(but):
                return processes
            states = " ".join(f"{each['pid']}:{each['state']}" for each in workers)
            expect(time.monotonic() < deadline, f"no {count} new workers alone after {seconds} s: {states}{self.tail()}")
            time.sleep(0.02)

    def can_be_asked(self):
        """Not while it starts."""
        if not self.alive:
            raise Failure(self.why_dead())
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            try:
                asking.connect(self.socket_path)
            except (FileNotFoundError, ConnectionRefusedError):
                return False
        return True

    def await_line(self, pattern, times=1, seconds=WAIT):
        """Until its output has a line with that in it; gives the last one."""
        deadline = time.monotonic() + seconds
        while len(found := [line for line in self.output().splitlines() if re.search(pattern, line)]) < times:
            expect(time.monotonic() < deadline, f"no line with '{pattern}' after {seconds} s{self.tail()}")
            time.sleep(0.02)
        return found[-1]

    def ask(self, path="/process", seconds=10):
        """The body of an answer over HTTP/1.1, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port("http"), timeout=seconds)
        try:
            connection.request("GET", path, headers={"connection": "close"})
            answer = connection.getresponse()
            same(answer.status, 200, f"the status of {path}")
            return answer.read().decode().strip()
        finally:
            connection.close()

    # Its processes

    def children(self):
        return children(self.process.pid)

    def kill(self):
        """With all that it has started, of which it can no longer take care."""
        rest = self.children()
        super().kill()
        for process in rest:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def children(parent):
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and parent_of(entry) == parent]


def parent_of(process):
    try:
        with open(f"/proc/{process}/stat") as stat:
            state, number = stat.read().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(number)


def gone(process):
    return parent_of(process) is None


def await_gone(processes, seconds):
    deadline = time.monotonic() + seconds
    while left := [each for each in processes if not gone(each)]:
        expect(time.monotonic() < deadline, f"after {seconds} s {left} still run")
        time.sleep(0.01)


def stop(process, seconds=5):
    """Stops a process, and waits until none of its threads runs."""
    os.kill(process, signal.SIGSTOP)
    deadline = time.monotonic() + seconds
    while any(state_of(process, thread) != "T" for thread in os.listdir(f"/proc/{process}/task")):
        expect(time.monotonic() < deadline, f"after {seconds} s {process} has not stopped")
        time.sleep(0.001)


def state_of(process, thread):
    with open(f"/proc/{process}/task/{thread}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


@contextlib.contextmanager
def supervised(world, app, count, *options, kind=Supervised, **how):
    """Like `world.fresh`, with workers: at its end all of them leave in order."""
    options = ("--workers", str(count), "--graceful-timeout", GRACEFUL, *options)
    server = world.start(app, *options, kind=kind, **how)
    try:
        server.await_workers(len(os.sched_getaffinity(0)) if count == "auto" else count)
        yield server
        if not server.alive:
            raise Failure(server.why_dead())
        workers = server.children()
        same(server.stop(), 0, f"the exit code after SIGTERM{server.tail()}")
        expect(not server.crashed, f"a crash is reported{server.tail()}")
        await_gone(workers, 1)
    finally:
        server.kill()
