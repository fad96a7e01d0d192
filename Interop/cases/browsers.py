"""Two pages of a real browser talk over the chat, each over its WebSocket. Their pictures and logs stay with --keep."""

import contextlib

from lib import browser
from lib.case import case
from lib.protocols import H1_TLS, H2, H3
from lib.report import expect, same

LEAST = 2
"""A WebSocket for each of the two pages; the visit before may have had one too."""


@contextlib.contextmanager
def served(world, protocol):
    """The chat over one version of HTTP on TCP; for HTTP/3 a browser has to find that too."""
    versions = {H1_TLS: "1.1", H2: "1.1,2", H3: "1.1,2,3"}[protocol]
    with world.fresh("ws-chat", "--http", versions) as server:
        yield server


def told(shown, protocol):
    for page in shown["shown"]:
        expect(f"HTTP/{protocol.version}" in page, f"the page does not say HTTP/{protocol.version}: {page[:200]!r}")


@case("browser-chromium", [H1_TLS, H2, H3], limit=120, full_only=True)
def chromium(world, protocol):
    folder = world.path(f"chromium-{protocol.name}")
    with served(world, protocol) as server:
        shown, openings = browser.chromium(world, server, protocol, folder)
    expect(openings[protocol] >= LEAST, f"its log has openings {describe(openings)}")
    same(sum(openings.values()), openings[protocol], "all openings in its log")
    told(shown, protocol)
    return f"{openings[protocol]} WebSockets, pages over {' and '.join(shown['pages_over'])}"


def describe(openings):
    return ", ".join(f"{protocol.name}: {count}" for protocol, count in openings.items())


@case("browser-firefox", [H1_TLS, H2], limit=120, full_only=True)
def firefox(world, protocol):
    """It has no WebSockets over HTTP/3."""
    folder = world.path(f"firefox-{protocol.name}")
    with served(world, protocol) as server:
        shown, streams = browser.firefox(world, server, folder)
    expect((streams >= LEAST) == (protocol is H2), f"{streams} streams of HTTP/2 carried WebSockets")
    told(shown, protocol)
    return f"{streams} WebSockets in streams of HTTP/2, pages over {' and '.join(shown['pages_over'])}"
