"""SIGTERM: no new connections, what runs is finished, then exit code 0."""

import signal
import socket
import time

from lib.case import case
from lib.curl import Curl
from lib.protocols import EVERY, H1
from lib.report import expect, same
from lib.server import MIB

SLOW = ("--limit-rate", "4M")


def begin_download(world, server, protocol, size):
    running = Curl(world, protocol, *SLOW, server.url(protocol, f"/?bytes={size}"), keep_body=False)
    time.sleep(1)
    expect(running.running, "the download is over too early")
    return running


@case("graceful-shutdown-in-mid-download", EVERY)
def graceful(world, protocol):
    size = 12 * MIB
    server = world.start("stream")
    try:
        download = begin_download(world, server, protocol, size)
        server.signal()
        time.sleep(0.3)
        for scheme in ("http", "https"):
            with socket.socket() as late:
                expect(late.connect_ex(("127.0.0.1", server.port(scheme))), f"a late {scheme} connection is accepted")
        reply = download.reply()
        same(reply.code, 0, f"curl's exit code ({reply.complaint})")
        same(reply.facts["size_download"], size, "the size of the body")
        finished = time.monotonic()
        same(server.wait(5), 0, "the server's exit code")
        return f"left {time.monotonic() - finished:.2f} s after the last download"
    finally:
        server.kill()


@case("shutdown-gives-up-after-the-graceful-timeout", EVERY)
def gives_up(world, protocol):
    server = world.start("stream", "--graceful-timeout", "1")
    try:
        download = begin_download(world, server, protocol, 1000 * MIB)
        server.signal()
        same(server.wait(6), 0, "the server's exit code")
        expect(download.reply().code, "curl took a truncated body for a whole one")
    finally:
        server.kill()


@case("second-signal-exits-at-once")
def second_signal(world):
    server = world.start("stream")
    try:
        download = begin_download(world, server, H1, 1000 * MIB)
        server.signal(signal.SIGINT)
        time.sleep(0.3)
        expect(server.alive, "the first signal did not wait for the download")
        server.signal(signal.SIGINT)
        expect(server.wait(1) != 0, "the exit code of an end in the middle is 0")
        download.kill()
    finally:
        server.kill()


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@case("idle-connection-is-kept-until-its-next-request")
def idle(world):
    """A client that was told nothing may be sending just now: its next request is answered, as the last."""
    server = world.start("hello")
    try:
        with socket.create_connection(("127.0.0.1", server.port("http")), timeout=10) as connection:
            connection.send(REQUEST)
            expect(b"connection: close" not in connection.recv(1000), "the first answer is the last")
            server.signal()
            time.sleep(1)
            expect(server.alive, "the server did not wait for an idle connection")
            connection.send(REQUEST)
            expect(b"\r\nconnection: close\r\n" in connection.recv(1000), "the last answer does not say so")
            same(connection.recv(1000), b"", "what follows the last answer")
        same(server.wait(5), 0, "the server's exit code")
    finally:
        server.kill()


@case("idle-connections-end-with-the-graceful-timeout")
def idle_for_too_long(world):
    server = world.start("hello", "--graceful-timeout", "1")
    try:
        with socket.create_connection(("127.0.0.1", server.port("http")), timeout=10) as connection:
            connection.send(REQUEST)
            connection.recv(1000)
            server.signal()
            same(connection.recv(1000), b"", "what comes instead of an answer")
            same(server.wait(5), 0, "the server's exit code")
    finally:
        server.kill()
