"""Memory after very many requests and very long bodies is what it was before."""

import re
import subprocess

from lib.case import case
from lib.curl import curl
from lib.gtls import gtls
from lib.memory import bounded
from lib.protocols import EVERY, H1, H1_TLS, H2, H2C
from lib.report import expect, same
from lib.server import MIB


def load(world, server, protocol, requests):
    """That many requests by h2load, on a few connections."""
    h2load = world.tool("h2load", "nghttp2-client")
    flags = ["--h1", "-m1", "-c16"] if protocol.version == "1.1" else ["-m32", "-c8"]
    done = subprocess.run(
        [h2load, *flags, "-t1", f"-n{requests}", server.url(protocol)],
        capture_output=True,
        text=True,
        timeout=1500,
    )
    succeeded = re.search(r"(\d+) succeeded", done.stdout)
    same(int(succeeded[1]) if succeeded else done.stderr[-200:], requests, "the number of answers")
    return re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)[1]


@case("many-requests", [H1, H1_TLS, H2C, H2], limit=1800)
def many_requests(world, protocol):
    requests = 10_000_000 if world.full else 50_000
    with world.fresh("hello") as server:
        load(world, server, protocol, requests // 5)
        with bounded(server, 8 * MIB) as growth:
            speed = load(world, server, protocol, requests)
        return f"{requests} requests, {speed}/s, {growth}"


@case("many-requests/h3", limit=1800)
def many_requests_http3(world):
    """By ngtcp2's client, ten thousand on a connection."""
    rounds, each = (1000, 10_000) if world.full else (2, 10_000)
    with world.fresh("hello") as server:
        gtls(world, server, "-n", each, quiet=True)
        with bounded(server, 8 * MIB) as growth:
            for _ in range(rounds):
                gtls(world, server, "-n", each, quiet=True, timeout=120)
        transcript = gtls(world, server, "-n", 1000)
        same(transcript.statuses, {200: 1000}, "the last thousand statuses")
        return f"{rounds * each} requests, {growth}"


@case("many-connections", EVERY)
def many_connections(world, protocol):
    """A connection's end gives everything back."""
    with world.fresh("hello") as server:
        url = server.url(protocol)
        one_each = ("-H", "Connection: close") if protocol.version == "1.1" else ()
        curl(world, protocol, url)
        before = server.open_files()
        with bounded(server, 8 * MIB) as growth:
            for _ in range(50):
                curl(world, protocol, *one_each, url)
        expect(server.open_files() <= before + 5, f"{server.open_files()} open files, {before} before")
        return str(growth)


@case("long-body", EVERY, limit=900)
def long_body(world, protocol):
    size = 10 * 1024 * MIB if world.full else 200 * MIB
    with world.fresh("stream") as server:
        curl(world, protocol, server.url(protocol, f"/?bytes={10 * MIB}"), keep_body=False)
        with bounded(server, 16 * MIB) as growth:
            url = server.url(protocol, f"/?bytes={size}")
            reply = curl(world, protocol, url, keep_body=False, timeout=800)
        same(reply.facts["size_download"], size, "the size of the body")
        return f"{size / MIB:.0f} MiB at {reply.facts['speed_download'] / MIB:.0f} MiB/s, {growth}"


@case("long-upload", EVERY, limit=900)
def long_upload(world, protocol):
    """Echoed, so that both directions press at once."""
    size = 1024 * MIB if world.full else 100 * MIB
    with world.fresh("echo") as server:
        curl(world, protocol, "--data-binary", "warm up", server.url(protocol))
        with bounded(server, 16 * MIB) as growth:
            arguments = ("-X", "POST", "-T", "-")
            url = server.url(protocol)
            reply = curl(world, protocol, *arguments, url, input=bytes(size), keep_body=False, timeout=800)
        same(reply.facts["size_download"], size, "the size of the echo")
        return f"{size / MIB:.0f} MiB both ways, {growth}"
