"""Sockets from elsewhere, and a service manager that wants to know; unix sockets; rights that are given up."""

import contextlib
import grp
import os
import pwd
import signal
import socket
import stat
import sys
import time

from lib.case import case
from lib.curl import curl
from lib.protocols import H1, H1_TLS, H2, H3
from lib.report import Skipped, expect, same
from lib.supervised import Supervised, supervised
from lib.world import HERE


def listening():
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def datagrams(port):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", port))
    return one


@contextlib.contextmanager
def activated(world, app, sockets, names, *options, environment=None, workers=2):
    """A server that a service manager has started; the sockets are closed here."""

    class Activated(Supervised):
        def __init__(self, command, log, wanted, **how):
            numbers = ",".join(str(each.fileno()) for each in sockets)
            start = [sys.executable, f"{HERE}/clients/activate.py", numbers, ":".join(names)]
            how["pass_fds"] = [each.fileno() for each in sockets]
            super().__init__([*start, *command], log, wanted, **how)
            for each in sockets:
                each.close()

    more = {"loopback": False, "kind": Activated, "environment": environment, "wanted": ()}
    supervision = ("--workers", str(workers), "--graceful-timeout", "5") if workers else ()
    server = world.start(app, *supervision, *options, **more)
    try:
        yield server
        same(server.stop(), 0, f"the exit code{server.tail()}")
    finally:
        server.kill()


def answers(world, server, protocols, port, times=1, path="/"):
    """Over each of the protocols, so often; gives the bodies."""
    bodies = []
    for protocol in protocols:
        for _ in range(times):
            reply = curl(world, protocol, f"{protocol.scheme}://127.0.0.1:{port}{path}")
            bodies.append(reply.text.strip())
    return bodies


# Sockets


@case("workers-inherited-descriptor")
def inherited(world):
    """With workers, and without."""
    for workers in (["--workers", "2"], []):
        with listening() as place:
            port, bind = place.getsockname()[1], f"fd:{place.fileno()}"
            how = {"loopback": False, "wanted": (), "kind": Supervised, "pass_fds": [place.fileno()]}
            server = world.start("interop-app", *workers, "--bind", bind, **how)
        try:
            answers(world, server, (H1_TLS, H2), port, path="/process")
            same(server.stop(), 0, "the exit code")
        finally:
            server.kill()


@case("workers-socket-activation", limit=60)
def activation(world):
    """TCP and UDP at the same port, one socket each: accepts are shared, one worker reads the datagrams."""
    with listening() as tcp:
        port = tcp.getsockname()[1]
        with datagrams(port) as udp, activated(world, "interop-app", [tcp, udp], [], "--bind", "systemd") as server:
            first = server.await_workers(2)
            found = answers(world, server, (H1_TLS, H2, H3), port, 4, "/process")
            expect(set(map(int, found)) <= set(first), f"answered by {set(found)}, none of {first}")
            # What workers read changes with each of these.
            server.signal(signal.SIGHUP)
            second = server.await_workers(2, but=first)
            answers(world, server, (H2, H3), port, 3, "/process")
            for process in second:
                os.kill(process, signal.SIGKILL)
                server.await_workers(2, but=[process])
                answers(world, server, (H2, H3), port, 3, "/process")


@case("workers-socket-activation-by-name")
def activation_by_name(world):
    with listening() as plain, listening() as tls:
        ports = plain.getsockname()[1], tls.getsockname()[1]
        where = ("--bind", "systemd:web", "--insecure-bind", "systemd:plain")
        with activated(world, "hello", [plain, tls], ["plain", "web"], *where) as server:
            server.await_workers(2)
            answers(world, server, (H1,), ports[0])
            answers(world, server, (H1_TLS, H2), ports[1])


@case("one-process-socket-activation")
def activation_alone(world):
    with listening() as tcp:
        port = tcp.getsockname()[1]
        with datagrams(port) as udp, activated(world, "hello", [tcp, udp], [], "--bind", "systemd", workers=None) as server:
            answers(world, server, (H1_TLS, H2, H3), port)


# The service manager


class Manager:
    """The socket that NOTIFY_SOCKET names, and what has been said there."""

    def __init__(self, world, name):
        self.path = world.path(name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(0.05)
        self.said = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def read(self):
        with contextlib.suppress(TimeoutError):
            while True:
                self.said += self.socket.recv(4096).decode().splitlines()

    def awaits(self, line, times=1, seconds=10):
        deadline = time.monotonic() + seconds
        while sum(each.startswith(line) for each in self.said) < times:
            expect(time.monotonic() < deadline, f"'{line}' was not said {times} times: {self.said}")
            self.read()


@case("workers-notify-the-service-manager")
def notify(world):
    with Manager(world, "notify.socket") as manager:
        environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
        with supervised(world, "interop-app", 2, environment=environment) as server:
            manager.awaits("READY=1")
            manager.awaits("WATCHDOG=1", 3)
            server.signal(signal.SIGHUP)
            manager.awaits("RELOADING=1")
            manager.awaits("MONOTONIC_USEC=")
            manager.awaits("READY=1", 2)
            for process in server.active():
                with open(f"/proc/{process}/environ") as file:
                    told = file.read()
                for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
                    expect(f"{name}=" not in told, f"a worker has {name} in its environment")
        manager.awaits("STOPPING=1")
        states = [each for each in manager.said if not each.startswith(("WATCHDOG", "MONOTONIC", "STATUS", "MAINPID"))]
        same(states, ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"], "what was said, in order")


@case("one-process-notifies-the-service-manager")
def notify_alone(world):
    with Manager(world, "notify-alone.socket") as manager:
        environment = {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
        with world.fresh("hello", environment=environment):
            manager.awaits("READY=1")
            manager.awaits("WATCHDOG=1", 2)
        manager.awaits("STOPPING=1")


# Unix sockets


@case("workers-unix-socket")
def unix_socket(world):
    """Its file has the mode and the owner that were asked for, takes the place of a stale one, and goes at the end."""
    path = world.path("workers.socket")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(path)
    rights = ["--unix-mode", "0660"]
    if os.geteuid() == 0:
        rights += ["--unix-owner", "nobody:nogroup"]
    where = ("--insecure-bind", f"unix:{path}", "--bind", "127.0.0.1:0")
    with supervised(world, "interop-app", 2, *where, *rights, wanted=("https",), loopback=False) as server:
        facts = os.stat(path)
        same(oct(stat.S_IMODE(facts.st_mode)), "0o660", "the mode")
        if os.geteuid() == 0:
            owner = pwd.getpwnam("nobody").pw_uid, grp.getgrnam("nogroup").gr_gid
            same((facts.st_uid, facts.st_gid), owner, "the owner and group")
        found = {ask_unix(world, path) for _ in range(10)}
        expect(found <= set(map(str, server.active())), f"answered by {found}")
        before = server.active()
        server.signal(signal.SIGHUP)
        after = server.await_workers(2, but=before)
        expect(int(ask_unix(world, path)) in after, "the old workers answer")
    expect(not os.path.exists(path), "the file is still there")


def ask_unix(world, path):
    return curl(world, H1, "--unix-socket", path, "http://localhost/process").text.strip()


@case("workers-abstract-socket")
def abstract_socket(world):
    name = f"apus-interop-{os.getpid()}"
    where = ("--insecure-bind", f"unix:@{name}", "--bind", "127.0.0.1:0")
    with supervised(world, "interop-app", 2, *where, wanted=("https",), loopback=False):
        for _ in range(4):
            curl(world, H1, "--abstract-unix-socket", name, "http://localhost/process")


# Rights


@case("workers-give-up-rights")
def rights(world):
    """Bound to a port below 1024 as root, with a key that only root may read; then the workers are nobody."""
    if os.geteuid() != 0:
        raise Skipped("this takes root")
    os.chmod(world.key, 0o600)
    port = next(number for number in range(1023, 600, -1) if is_free(number))
    where = ("--bind", f"127.0.0.1:{port}", "--user", "nobody", "--group", "nogroup")
    with supervised(world, "hello", 2, *where, wanted=("https",), loopback=False) as server:
        for protocol in (H1_TLS, H2, H3):
            curl(world, protocol, server.url(protocol))
        before = server.active()
        ids = {tuple(fields(process)[name] for name in ("Uid", "Gid", "Groups")) for process in before}
        user, group = str(pwd.getpwnam("nobody").pw_uid), str(grp.getgrnam("nogroup").gr_gid)
        same(ids, {("\t".join([user] * 4), "\t".join([group] * 4), group)}, "the accounts of the workers")
        same({fields(process)["CapEff"] for process in before}, {"0" * 16}, "the capabilities of the workers")
        server.signal(signal.SIGHUP)
        server.await_workers(2, but=before)
        curl(world, H3, server.url(H3))


def is_free(port):
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        try:
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def fields(process):
    with open(f"/proc/{process}/status") as status:
        return {name: value.strip() for name, value in (line.split(":", 1) for line in status)}
