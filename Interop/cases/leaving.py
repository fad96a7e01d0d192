"""Clients that leave in the middle. The application learns of it within a second."""

import os
import signal
import socket
import struct
import subprocess
import time

from lib import gtls, raw
from lib.case import case
from lib.curl import TIMED_OUT, Curl, curl
from lib.protocols import EVERY, H1, H3, MULTIPLEXED
from lib.report import expect, same


def watch_path(case_name, protocol):
    return f"/watch?id={case_name}-{protocol.name}"


def ended(world, server, path):
    """What the application wrote down about that request, or None while it has not ended."""
    watched = path.split("id=")[1]
    lines = curl(world, H1, server.url(H1, "/disconnects")).text.splitlines()
    return next((line for line in lines if watched in line.split()), None)


def await_disconnect(world, server, path, left, within):
    """Polls until the application has noted the end; gives the time since the client had left."""
    while True:
        line = ended(world, server, path)
        seconds = time.monotonic() - left
        if line:
            expect("disconnect" in line, f"the application tells of no disconnect: {line}")
            return f"learned of after at most {seconds * 1000:.0f} ms"
        expect(seconds < within, f"the application has learned nothing after {within} s")
        time.sleep(0.02)


@case("leaves-in-mid-download", EVERY)
def leaves(world, protocol):
    """curl gives up: FIN on HTTP/1.1, closed connection or stream on HTTP/2 and 3."""
    server, path = world.server("interop-app"), watch_path("leaves", protocol)
    reply = Curl(world, protocol, server.url(protocol, path), timeout=1).reply()
    left = time.monotonic()
    same(reply.code, TIMED_OUT, "curl's exit code")
    expect(reply.body, "nothing had come before curl left")
    return await_disconnect(world, server, path, left, 1)


@case("stream-is-reset-in-mid-download", MULTIPLEXED)
def stream_is_reset(world, protocol):
    """One of two transfers gives up after a second; the connection and the other one go on."""
    server, path = world.server("interop-app"), watch_path("stream", protocol)
    other = path + "-other"
    first = ("--parallel", server.url(protocol, path), "--next")
    again = ("--silent", *protocol.flags, "--cacert", world.certificate, "--max-time", "3", "--output", "/dev/null")
    running = Curl(world, protocol, *first, *again, server.url(protocol, other), timeout=1, recent=True)
    time.sleep(1)
    line = await_disconnect(world, server, path, time.monotonic(), 1.5)
    expect(running.running, "curl has left altogether")
    same(ended(world, server, other), None, "what is known of the other transfer")
    running.timeout = 10
    running.reply()
    return line


@case("connection-is-reset-in-mid-download")
def connection_is_reset(world):
    server, path = world.server("interop-app"), watch_path("reset", H1)
    with raw.connect(server.port("http")) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        expect(connection.recv(100), "nothing came")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return await_disconnect(world, server, path, time.monotonic(), 1)


@case("half-closes-in-mid-download")
def half_closes(world):
    """A FIN while the response goes on is a disconnect."""
    server, path = world.server("interop-app"), watch_path("fin", H1)
    with raw.connect(server.port("http")) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        expect(connection.recv(100), "nothing came")
        connection.shutdown(socket.SHUT_WR)
        return await_disconnect(world, server, path, time.monotonic(), 1)


@case("ngtcp2-client-falls-silent", limit=90)
def falls_silent(world):
    """A stopped process answers nothing and closes nothing: only the idle timeout ends its connection."""
    server, path = world.server("interop-app"), watch_path("silent", H3)
    command = gtls.command(world, server, "--timeout=3s", path=path)
    client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1.5)
        expect(client.poll() is None, "the client ended by itself")
        os.kill(client.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        return await_disconnect(world, server, path, stopped, 12)
    finally:
        client.kill()
        client.wait()


@case("curl-falls-silent", limit=120, full_only=True)
def curl_falls_silent(world):
    """The same with curl, under the server's own idle timeout."""
    server, path = world.server("interop-app"), watch_path("silent-curl", H3)
    client = Curl(world, H3, server.url(H3, path), timeout=110)
    try:
        time.sleep(1.5)
        expect(client.running, "the client ended by itself")
        client.process.send_signal(signal.SIGSTOP)
        return await_disconnect(world, server, path, time.monotonic(), 90)
    finally:
        client.kill()
