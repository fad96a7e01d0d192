"""HTTP/3 by clients on other implementations than curl's: ngtcp2's own, and aioquic."""

import os
import shutil

from lib import aioquic
from lib.case import case
from lib.gtls import gtls
from lib.report import expect, same


def download(world, server, *arguments, path="/", name="index.html"):
    """Gives the bytes that the client stored."""
    folder = world.path("gtls-download")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    gtls(world, server, f"--download={folder}", *arguments, path=path, quiet=True)
    expect(os.path.exists(f"{folder}/{name}"), "the client stored nothing")
    with open(f"{folder}/{name}", "rb") as file:
        return file.read()


@case("ngtcp2-get")
def get(world):
    transcript = gtls(world, world.server("hello"))
    same(transcript.statuses, {200: 1}, "the statuses")
    same(transcript.clean_ends, 1, "the number of streams that ended in order")
    same(transcript.values("alt-svc"), [], "alt-svc over HTTP/3")


@case("ngtcp2-head")
def head(world):
    same(gtls(world, world.server("hello"), "-m", "HEAD").statuses, {200: 1}, "the statuses")


@case("ngtcp2-100-on-one-connection")
def hundred(world):
    transcript = gtls(world, world.server("hello"), "-n", 100)
    same(transcript.statuses, {200: 100}, "the statuses")
    same(transcript.clean_ends, 100, "the number of streams that ended in order")


@case("ngtcp2-echo-10MB")
def echo(world):
    path = world.file(10_000_000)
    echoed = download(world, world.server("echo"), "-d", path, "-m", "POST")
    with open(path, "rb") as sent:
        expect(echoed == sent.read(), f"the echo of {len(echoed)} bytes differs from what was sent")


@case("ngtcp2-echo-of-nothing")
def echo_nothing(world):
    same(gtls(world, world.server("echo"), "-d", world.file(0), "-m", "POST").statuses, {200: 1}, "the statuses")


@case("ngtcp2-echo-under-loss", limit=120)
def echo_under_loss(world):
    """Every twentieth packet is lost, in both directions."""
    path = world.file(1_000_000)
    lossy = ("--tx-loss=0.05", "--rx-loss=0.05", "--initial-rtt=10ms")
    echoed = download(world, world.server("echo"), *lossy, "-d", path, "-m", "POST")
    with open(path, "rb") as sent:
        expect(echoed == sent.read(), f"the echo of {len(echoed)} bytes differs from what was sent")


@case("ngtcp2-small-packets")
def small_packets(world):
    same(gtls(world, world.server("hello"), "--no-pmtud", "--max-udp-payload-size=1200").statuses, {200: 1}, "statuses")


@case("ngtcp2-narrow-windows")
def narrow_windows(world):
    """A client that grants 10 KB of a stream and 20 KB of the connection at a time."""
    narrow = ("--max-data=20K", "--max-stream-data-bidi-local=10K")
    path = world.file(300_000)
    echoed = download(world, world.server("echo"), *narrow, "-d", path, "-m", "POST")
    same(len(echoed), 300_000, "the size of the echo")


@case("ngtcp2-version-negotiation")
def version_negotiation(world):
    """A version nobody speaks is answered with those that are; the client goes on with version 1."""
    transcript = gtls(world, world.server("hello"), "-v", "0x1a2a3a4a", "--preferred-versions=v1")
    same(transcript.statuses, {200: 1}, "the statuses")


@case("ngtcp2-key-update")
def key_update(world):
    path = world.file(10_000_000)
    slow = ("--max-data=64K", "--max-stream-data-bidi-local=64K", "--key-update=20ms")
    echoed = download(world, world.server("echo"), *slow, "-d", path, "-m", "POST")
    same(len(echoed), 10_000_000, "the size of the echo")


@case("ngtcp2-ciphers")
def ciphers(world):
    for cipher in ("AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"):
        arguments = f"--ciphers=NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{cipher}"
        same(gtls(world, world.server("hello"), arguments).statuses, {200: 1}, f"the statuses with {cipher}")


@case("aioquic-echo")
def aioquic_echo(world):
    answer = aioquic.ask(world, world.server("echo"), "/", body="x" * 100_000)
    same((answer["end"], answer["body"] == "x" * 100_000), ("complete", True), "the stream's end and the echo")


@case("aioquic-field-that-may-not-be")
def aioquic_bad_field(world):
    """A connection field on HTTP/3 is malformed (RFC 9114 section 4.2): H3_MESSAGE_ERROR, or a 400."""
    answer = aioquic.ask(world, world.server("hello"), "/", fields=[["connection", "keep-alive"]])
    refused = [pair for section in answer["sections"] for pair in section if tuple(pair) == (":status", "400")]
    expect(refused or answer["code"] == 0x10E, f"the answer is {answer}")
