"""What goes beside the body: trailers both ways, and early hints."""

import subprocess

from lib import aioquic, raw
from lib.case import case
from lib.curl import curl
from lib.protocols import EVERY, H1, H1_TLS, H2, H2C, H3, ON_TCP
from lib.report import expect, same


@case("response-trailers", ON_TCP)
def response_trailers(world, protocol):
    server = world.server("interop-app")
    reply = curl(world, protocol, "-H", "TE: trailers", "--data-binary", "body", server.url(protocol, "/trailers"))
    expect(reply.trailers.get("x-checksum"), f"no x-checksum among the trailers {reply.trailers.fields}")
    expect(not reply.head.get("x-checksum"), "x-checksum is in the head")


@case("response-trailers", [H3])
def response_trailers_http3(world, protocol):
    """By aioquic, because curl writes an HTTP/3 trailer into the body."""
    server = world.server("interop-app")
    answer = aioquic.ask(world, server, "/trailers", body="body", fields=[["te", "trailers"]])
    same(answer["end"], "complete", "the stream's end")
    same(len(answer["sections"]), 2, "the number of field sections")
    expect("x-checksum" in dict(answer["sections"][1]), f"no x-checksum among the trailers {answer['sections'][1]}")


REQUEST_WITH_TRAILERS = (
    b"POST /trailers HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: x-sent\r\n"
    b"Connection: close\r\n\r\n4\r\nbody\r\n0\r\nX-Sent: trailing-value\r\n\r\n"
)


@case("request-trailers", [H1, H1_TLS])
def request_trailers_http1(world, protocol):
    port = world.server("interop-app").port(protocol.scheme)
    connection = raw.connect_tls(world, port, ["http/1.1"]) if protocol.secure else raw.connect(port)
    with connection:
        answer, _ = raw.ask(connection, REQUEST_WITH_TRAILERS)
    same(answer[:12], b"HTTP/1.1 200", "the answer's beginning")
    expect(b"trailing-value" in answer, "the application did not receive the trailer")


@case("request-trailers", [H2, H2C])
def request_trailers_http2(world, protocol):
    nghttp = world.tool("nghttp", "nghttp2-client")
    url = world.server("interop-app").url(protocol, "/trailers")
    arguments = ["--no-verify-peer", "--timeout=10s", "-d", world.file(1000), "--trailer=x-sent: trailing-value"]
    done = subprocess.run([nghttp, *arguments, url], capture_output=True, timeout=20)
    expect(b"trailing-value" in done.stdout, f"the application did not receive the trailer: {done.stdout[:200]!r}")


@case("request-trailers", [H3])
def request_trailers_http3(world, protocol):
    server = world.server("interop-app")
    answer = aioquic.ask(world, server, "/trailers", body="body", trailers=[["x-sent", "trailing-value"]])
    same(answer["end"], "complete", "the stream's end")
    expect("trailing-value" in answer["body"], f"the application did not receive the trailer: {answer['body']!r}")


@case("early-hints", EVERY)
def early_hints(world, protocol):
    reply = curl(world, protocol, world.server("interop-app").url(protocol, "/early-hints"))
    same([block.status for block in reply.informational], [103], "the informational responses")
    expect(reply.informational[0].get("link"), "the early hints have no link")
