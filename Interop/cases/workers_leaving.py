"""Signals: what each does, with a supervisor and without, and with which code the process ends."""

import contextlib
import os
import pty
import shutil
import signal
import socket
import ssl
import subprocess
import time

from lib.case import case
from lib.curl import Curl
from lib.protocols import EVERY, H2, H3
from lib.report import expect, same
from lib.supervised import Supervised, await_gone, children, supervised

AT_ONCE = 2
"""Seconds in which "at once" has to be."""


class Lives:
    """What the applications of all processes have noted of their lifespans."""

    def __init__(self, world, name):
        self.path = world.path(f"life-{name}")
        self.environment = {"INTEROP_LIFE": self.path}

    def of(self, event):
        with open(self.path) as file:
            return sorted(int(line.split()[1]) for line in file if line.startswith(event))


def streaming(server):
    """An event stream without an end."""
    connection = socket.create_connection(("127.0.0.1", server.port("http")), 5)
    connection.sendall(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    expect(connection.recv(1000).startswith(b"HTTP/1.1 200"), "the event stream was not opened")
    return connection


def ending(world, name, *options, workers=2):
    """A server that the case ends by itself."""
    lives = Lives(world, name)
    supervision = ("--workers", str(workers)) if workers else ()
    server = world.start("interop-app", *supervision, *options, kind=Supervised, environment=lives.environment)
    if workers:
        server.await_workers(workers)
    return server, lives


def drains(world, number):
    server, lives = ending(world, signal.Signals(number).name)
    try:
        workers = server.active()
        same(lives.of("startup"), sorted(workers), "the processes that started the application")
        with socket.create_connection(("127.0.0.1", server.port("http")), 5) as running:
            running.sendall(b"GET /poll?seconds=1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            time.sleep(0.3)
            server.signal(number)
            time.sleep(0.3)
            with socket.socket() as late:
                expect(late.connect_ex(("127.0.0.1", server.port("http"))), "a late connection is accepted")
            answer = running.recv(1000)
            expect(answer.startswith(b"HTTP/1.1 200"), f"the request that ran was answered with {answer[:60]}")
            expect(b"connection: close" in answer.lower(), "the answer does not say that it is the last")
        same(server.wait(10), 0, f"the exit code{server.tail()}")
        same(lives.of("shutdown"), sorted(workers), "the processes that shut the application down")
        await_gone(workers, 1)
    finally:
        server.kill()


@case("workers-sigterm")
def sigterm(world):
    drains(world, signal.SIGTERM)


@case("workers-sigint")
def sigint(world):
    drains(world, signal.SIGINT)


@case("workers-second-signal")
def second_signal(world):
    """At once, with the code of the signal; nobody is left behind."""
    for first, second in ((signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)):
        server, _ = ending(world, f"second-{second}", "--graceful-timeout", "60")
        try:
            workers = server.active()
            with streaming(server):
                server.signal(first)
                time.sleep(0.5)
                expect(server.alive, "the first signal did not wait for the stream")
                server.signal(second)
                same(server.wait(AT_ONCE), 128 + second, "the exit code")
            await_gone(workers, 1)
        finally:
            server.kill()


@case("workers-sigquit")
def sigquit(world):
    for workers in (2, None):
        server, _ = ending(world, f"quit-{workers}", "--graceful-timeout", "60", workers=workers)
        try:
            processes = server.children()
            with streaming(server):
                server.signal(signal.SIGQUIT)
                code = server.wait(AT_ONCE)
            expect(code in (131, -signal.SIGQUIT), f"the exit code is {code}")
            if workers:
                same(code, 131, "the supervisor's exit code")
            await_gone(processes, 1)
        finally:
            server.kill()


@case("workers-of-a-terminal")
def of_a_terminal(world):
    """Its keys are signals for all processes at once: the supervisor acts on them, and the workers only as they are told."""
    for key, code in ((b"\x03", 0), (b"\x1c", 131)):
        ours, terminal = pty.openpty()
        command = ["setsid", "--ctty", *world.command("hello"), "--workers", "2", "--status-socket", "none"]
        process = subprocess.Popen([*command, "--bind", "127.0.0.1:0"], stdin=terminal, stdout=terminal, stderr=terminal)
        os.close(terminal)
        try:
            told = ""
            while "workers: 0" not in told:
                told += os.read(ours, 1000).decode()
            workers = children(process.pid)
            os.write(ours, key)
            same(process.wait(10), code, "the exit code")
            with contextlib.suppress(OSError):
                while piece := os.read(ours, 1000):
                    told += piece.decode()
            expect("died" not in told and "ignal" not in told, f"a worker took the key for its own: {told}")
            await_gone(workers, 1)
        finally:
            process.kill()
            process.wait()
            os.close(ours)


@case("workers-streams-end-with-the-graceful-timeout", limit=60)
def streams_end(world):
    """An event stream on every protocol: the shutdown waits for none of them longer, and the application is shut down."""
    server, lives = ending(world, "streams", "--graceful-timeout", "1.5")
    try:
        workers = server.active()
        running = [Curl(world, each, server.url(each, "/events"), timeout=15) for each in EVERY]
        time.sleep(1)
        server.signal()
        began = time.monotonic()
        same(server.wait(8), 0, "the exit code")
        seconds = time.monotonic() - began
        expect(seconds > 1.4, f"the streams had only {seconds:.1f} s")
        same(lives.of("shutdown"), sorted(workers), "the processes that shut the application down")
        replies = [each.reply() for each in running]
        expect(all(b"data: " in reply.body for reply in replies), "a stream had no event")
    finally:
        server.kill()
    return f"{seconds:.1f} s"


@case("workers-idle-connection-is-told")
def idle_is_told(world):
    """When its worker leaves, an idle connection on HTTP/1.1 stays until its next request."""
    with supervised(world, "interop-app", 2) as server:
        with socket.create_connection(("127.0.0.1", server.port("http")), 5) as idle:
            request = b"GET /process HTTP/1.1\r\nhost: localhost\r\n\r\n"
            idle.sendall(request)
            first = idle.recv(1000)
            expect(b"connection: close" not in first.lower(), "the connection is not kept at all")
            before = server.active()
            server.signal(signal.SIGHUP)
            while set(server.active()) & set(before):
                time.sleep(0.02)
            time.sleep(0.3)
            idle.sendall(request)
            last = idle.recv(1000)
            expect(last, "the connection was closed while it was idle")
            same(last.rsplit(b"\r\n", 1)[1], first.rsplit(b"\r\n", 1)[1], "the process of the second answer")
            expect(b"connection: close" in last.lower(), "the second answer does not say that it is the last")
            same(idle.recv(1), b"", "what comes behind the last answer")
        server.await_workers(2, but=before)


# Reloads


def made_anew(world, name):
    """Another certificate, under the path of the one that is used."""
    folder = world.path(name)
    os.makedirs(folder, exist_ok=True)
    paths = f"{folder}/cert.pem", f"{folder}/key.pem"
    for usual, path in zip((world.certificate, world.key), paths):
        shutil.copy(usual, path)
    return paths


def shown(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port("https")), 5) as connection:
        with context.wrap_socket(connection) as secure:
            return secure.getpeercert(binary_form=True)


def certificate_changes(world, name, workers, *options):
    certificate, key = made_anew(world, name)
    tls = ("--certfile", certificate, "--keyfile", key)
    server, _ = ending(world, name, *tls, *options, workers=workers)
    try:
        before = shown(server)
        usual = world.certificate, world.key
        world.certificate, world.key = certificate, key
        try:
            world.make_certificate()
        finally:
            world.certificate, world.key = usual
        server.signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while shown(server) == before:
            expect(time.monotonic() < deadline, f"the old certificate is still shown{server.tail()}")
            time.sleep(0.05)
        for protocol in (H2, H3):
            reply = Curl(world, protocol, "--cacert", certificate, server.url(protocol, "/process")).reply()
            same(reply.status, 200, f"the status over {protocol.name} ({reply.complaint})")
        with open(certificate, "w") as broken:
            broken.write("no certificate\n")
        now, lines = shown(server), len(server.output().splitlines())
        server.signal(signal.SIGHUP)
        server.await_line(r" (error|warning) ")
        expect(len(server.output().splitlines()) > lines, "nothing is said about a broken certificate")
        same(shown(server), now, "the certificate after a reload of a broken one")
        same(server.stop(), 0, "the exit code")
    finally:
        server.kill()


@case("workers-sighup-reads-the-certificate")
def certificate_of_workers(world):
    certificate_changes(world, "reload-workers", 2)


@case("one-process-sighup-reads-the-certificate")
def certificate_in_process(world):
    certificate_changes(world, "reload-alone", None)


@case("one-process-has-no-supervisor")
def no_supervisor(world):
    """Signals that only a supervisor can obey are told about, and harm nothing."""
    server, _ = ending(world, "alone", workers=None)
    try:
        for times, number in enumerate((signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR2), 1):
            server.signal(number)
            line = server.await_line("no supervisor", times, seconds=5)
        expect(server.alive, server.alive or "it has ended")
        server.ask()
        same(server.stop(), 0, "the exit code")
        return line.split(": ", 1)[1]
    finally:
        server.kill()
