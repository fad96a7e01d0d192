"""Slow readers on either side: who waits is the sender, and not in the server's memory."""

import os

from lib.case import case
from lib.curl import curl
from lib.memory import bounded
from lib.protocols import EVERY
from lib.report import expect
from lib.server import MIB


def sparse_file(world, size):
    """Zeros that take no room."""
    path = world.path(f"zeros-{size}")
    with open(path, "wb") as file:
        os.truncate(file.fileno(), size)
    return path


@case("slow-upload", EVERY, limit=120)
def slow_upload(world, protocol):
    """The application reads at a tenth of what the client could send, or less."""
    size, rate = (200 * MIB, 20 * MIB) if world.full else (32 * MIB, 8 * MIB)
    with world.fresh("interop-app") as server:
        url = server.url(protocol, f"/slow-read?rate={rate}")
        curl(world, protocol, "--data-binary", "warm up", url)
        with bounded(server, 16 * MIB) as growth:
            arguments = ("-X", "POST", "-T", sparse_file(world, size))
            reply = curl(world, protocol, *arguments, url, timeout=100)
        expect(str(size) in reply.text.split(), f"the application counted {reply.text!r}, not {size}")
        seconds = reply.facts["time_total"]
        expect(seconds > 0.7 * size / rate, f"it took only {seconds:.1f} s: nothing was slow")
        return f"{size / MIB:.0f} MiB, {growth}"


@case("slow-download", EVERY, limit=120)
def slow_download(world, protocol):
    size, rate = (1024 * MIB, 50 * MIB) if world.full else (64 * MIB, 16 * MIB)
    with world.fresh("stream") as server:
        curl(world, protocol, server.url(protocol, "/?bytes=1000"))
        with bounded(server, 16 * MIB) as growth:
            url = server.url(protocol, f"/?bytes={size}&chunk=65536")
            reply = curl(world, protocol, "--limit-rate", rate, url, keep_body=False, timeout=100)
        expect(reply.facts["size_download"] == size, f"{reply.facts['size_download']} bytes came, not {size}")
        return f"{size / MIB:.0f} MiB, {growth}"
