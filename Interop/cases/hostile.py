"""Bytes that are no request, and handshakes that may not succeed. The server shrugs, and goes on serving."""

import contextlib
import random
import re
import socket
import ssl
import subprocess
import time

from lib import raw
from lib.case import case
from lib.curl import curl
from lib.memory import bounded
from lib.protocols import EVERY, H1, H1_TLS, H2
from lib.report import expect, same
from lib.server import MIB


def still_serves(world, server):
    for protocol in EVERY:
        curl(world, protocol, server.url(protocol))


@case("wrong-alpn")
def wrong_alpn(world):
    server = world.server("hello")
    try:
        with raw.connect_tls(world, server.port("https"), ["nonsense/9"]) as connection:
            expect(False, f"the handshake succeeded with {connection.selected_alpn_protocol()}")
    except ssl.SSLError as error:
        remark = error.reason
    still_serves(world, server)
    return remark


@case("wrong-alpn-on-quic")
def wrong_alpn_on_quic(world):
    """Alert 120, no_application_protocol, as a QUIC error (RFC 9001 section 8.1)."""
    server = world.server("hello")
    openssl = world.fetched("fetch-curl", "openssl3")
    where = ["-connect", f"127.0.0.1:{server.port('https')}"]
    done = subprocess.run(
        [openssl, "s_client", "-quic", "-trace", "-alpn", "nonsense/9", *where],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    told = (done.stdout + done.stderr).decode("utf-8", "replace")
    code = re.search(r"Connection close \(transport\)\s+Error Code: (\d+)", told)
    same(code and int(code[1]), 0x100 + 120, "the code of the connection's close")
    still_serves(world, server)


@case("no-alpn")
def no_alpn(world):
    with raw.connect_tls(world, world.server("hello").port("https")) as connection:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        same(raw.ask(connection, request)[0][:12], b"HTTP/1.1 200", "the answer's beginning")


@case("tls-versions")
def tls_versions(world):
    port = world.server("hello").port("https")
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        settings = {"minimum_version": version, "maximum_version": version}
        with raw.connect_tls(world, port, ["h2"], **settings) as connection:
            same((connection.version(), connection.selected_alpn_protocol()), (name, "h2"), "version and ALPN")
    old = subprocess.run(
        ["openssl", "s_client", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-connect", f"127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
    )
    expect(old.returncode != 0, "TLS 1.1 is accepted")


@case("plaintext-to-the-tls-port")
def plaintext_to_tls(world):
    server = world.server("hello")
    with raw.connect(server.port("https")) as connection:
        answer, ended = raw.ask(connection, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    expect(ended, "the connection is still open after 5 s")
    expect(not answer.startswith(b"HTTP/1.1 200"), "the request was answered in the clear")
    still_serves(world, server)


@case("tls-to-the-plaintext-port")
def tls_to_plaintext(world):
    server = world.server("hello")
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        raw.connect_tls(world, server.port("http"), ["h2"]).close()
        expect(False, "the handshake succeeded")
    still_serves(world, server)


@case("http2-preface-on-http1-alpn")
def preface_after_http1_alpn(world):
    """Who chose http/1.1 by ALPN does not get HTTP/2 (RFC 9113 section 3.2)."""
    with raw.connect_tls(world, world.server("hello").port("https"), ["http/1.1"]) as connection:
        answer, ended = raw.ask(connection, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
    expect(ended, "the connection is still open after 5 s")
    expect(not answer or answer.startswith(b"HTTP/1.1 "), f"the answer begins with {answer[:20]!r}")


# Garbage, the same on every run.


def garbage(seed, most=20_000):
    source = random.Random(seed)
    return source.randbytes(source.randrange(1, most))


@case("garbage-on-tcp", [H1, H1_TLS])
def garbage_on_tcp(world, protocol):
    server = world.server("hello")
    before = server.open_files()
    with bounded(server, 16 * MIB) as growth:
        for seed in range(200):
            with raw.connect(server.port(protocol.scheme)) as connection:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(garbage(seed))
                    connection.shutdown(socket.SHUT_WR)
                    connection.settimeout(5)
                    raw.read_to_end(connection)
    still_serves(world, server)
    await_closed(server, before)
    return str(growth)


@case("garbage-inside-tls", [H1_TLS, H2])
def garbage_inside_tls(world, protocol):
    server = world.server("hello")
    alpn = "h2" if protocol is H2 else "http/1.1"
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0" if protocol is H2 else b""
    before = server.open_files()
    for seed in range(100):
        with raw.connect_tls(world, server.port("https"), [alpn], timeout=10) as connection:
            connection.settimeout(2)
            answer, ended = raw.ask(connection, preface + garbage(seed, 5000) + b"\r\n\r\n")
            expect(ended or protocol is H2, f"garbage {seed} left the connection open")
    still_serves(world, server)
    await_closed(server, before)


def await_closed(server, before, seconds=5):
    """Connections that are over give their descriptors back."""
    deadline = time.monotonic() + seconds
    while server.open_files() > before + 10:
        expect(time.monotonic() < deadline, f"{server.open_files()} open files, {before} before")
        time.sleep(0.05)


@case("garbage-on-udp")
def garbage_on_udp(world):
    """Noise, and packets that look like QUIC's long header in any version: the answer is never the longer one."""
    server = world.server("hello")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client, bounded(server, 16 * MIB) as growth:
        client.connect(("127.0.0.1", server.port("https")))
        client.setblocking(False)
        sent = received = 0
        for seed in range(3000):
            source = random.Random(seed)
            datagram = bytearray(source.randbytes(source.choice((1, 5, 20, 21, 40, 600, 1200, 1252, 1500))))
            if seed % 3 == 1:
                datagram[0] |= 0xC0
            if seed % 3 == 2 and len(datagram) > 6:
                datagram[:6] = bytes((0xC0 | source.randrange(64), 0, 0, 0, 1, source.randrange(21)))
            with contextlib.suppress(BlockingIOError, ConnectionError):
                sent += client.send(datagram)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                received += len(client.recv(65536))
        time.sleep(0.2)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                received += len(client.recv(65536))
    expect(received <= 3 * sent, f"{received} bytes answer {sent} bytes")
    still_serves(world, server)
    return f"{received} bytes answered to {sent}; {growth}"


@case("unknown-quic-version")
def unknown_version(world):
    """A full-sized Initial of an unknown version is answered with version negotiation, a short one with nothing."""
    server = world.server("hello")
    header = bytes.fromhex("c0" "1a2a3a4a" "08" "0102030405060708" "04" "0a0b0c0d")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", server.port("https")))
        client.settimeout(2)
        client.send(header.ljust(1200, b"\0"))
        answer = client.recv(65536)
        expect(answer[0] & 0x80 and answer[1:5] == bytes(4), "the answer is no version negotiation")
        expect(answer[5:].startswith(bytes.fromhex("04" "0a0b0c0d" "08" "0102030405060708")), "the IDs are not swapped")
        expect(bytes.fromhex("00000001") in [answer[n : n + 4] for n in range(19, len(answer), 4)], "no version 1")
        client.settimeout(0.5)
        client.send(header.ljust(1199, b"\0"))
        with contextlib.suppress(TimeoutError):
            expect(False, f"a datagram of 1199 bytes is answered with {len(client.recv(65536))} bytes")


@case("silent-connections")
def silent_connections(world):
    """Five hundred that say nothing, or half a request line, are in nobody's way."""
    server = world.server("hello")
    before = server.open_files()
    with contextlib.ExitStack() as open_ones, bounded(server, 32 * MIB) as growth:
        for number in range(500):
            connection = open_ones.enter_context(raw.connect(server.port(("http", "https")[number % 2])))
            if number % 4 < 2:
                connection.send(b"GET / HT" if number % 2 == 0 else b"\x16\x03\x01")
        still_serves(world, server)
    await_closed(server, before)
    return str(growth)


@case("pipelining", [H1, H1_TLS])
def pipelining(world, protocol):
    """Fifty requests in one write are answered in their order."""
    port = world.server("echo").port(protocol.scheme)
    requests = b"".join(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n%s\r\n<%02d>"
        % (b"Connection: close\r\n" if number == 49 else b"", number)
        for number in range(50)
    )
    connection = raw.connect_tls(world, port, ["http/1.1"]) if protocol.secure else raw.connect(port)
    with connection:
        answer, ended = raw.ask(connection, requests)
    expect(ended, "the connection stayed open after Connection: close")
    same(re.findall(rb"<(\d\d)>", answer), [b"%02d" % number for number in range(50)], "the order of the answers")


SMUGGLING = {
    "both lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
    "chunked not last": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare CR": b"GET / HTTP/1.1\r\nHost: a\rX-B: c\r\n\r\n",
    "space before colon": b"GET / HTTP/1.1\r\nHost: a\r\nX-B : c\r\n\r\n",
    "folded field": b"GET / HTTP/1.1\r\nHost: a\r\nX-B: c\r\n d\r\n\r\n",
    "bad chunk size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+4\r\nabcd\r\n0\r\n\r\n",
    "huge chunk size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "control byte": b"GET / HTTP/1.1\r\nHost: a\r\nX-B: c\0d\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n",
    "signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +4\r\n\r\nabcd",
    "list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4, 5\r\n\r\nabcd",
}


@case("refused-with-400")
def refused(world):
    port = world.server("echo").port("http")
    for name, request in SMUGGLING.items():
        with raw.connect(port) as connection:
            answer, ended = raw.ask(connection, request)
        expect(answer.startswith(b"HTTP/1.1 400 "), f"{name}: the answer begins with {answer[:20]!r}")
        expect(ended, f"{name}: the connection stays open")
        same(answer.count(b"HTTP/1.1 "), 1, f"{name}: the number of answers")
