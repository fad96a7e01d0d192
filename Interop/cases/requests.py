"""Requests and their bodies, over every protocol."""

import hashlib
import json
from collections import Counter

from lib.case import case
from lib.curl import TIMED_OUT, Curl, curl
from lib.protocols import EVERY, H1, H1_TLS, MULTIPLEXED
from lib.report import expect, same
from lib.server import MIB


@case("get", EVERY)
def get(world, protocol):
    reply = curl(world, protocol, world.server("hello").url(protocol))
    expect(reply.body, "the body is empty")
    expect(reply.get("content-type"), "there is no content-type")
    expect(reply.get("date"), "there is no date")


@case("head", EVERY)
def head(world, protocol):
    url = world.server("hello").url(protocol)
    asked, got = curl(world, protocol, url), curl(world, protocol, "--head", url)
    same(got.facts["size_download"], 0, "the size of the body")
    if asked.get("content-length"):
        same(got.get("content-length"), asked.get("content-length"), "the content-length")


@case("http-1.0", [H1, H1_TLS])
def http_1_0(world, protocol):
    """The answer's own version may be 1.0 or 1.1 (RFC 9110 section 6.2); over TLS it is asked for without ALPN."""
    reply = Curl(world, protocol, "--http1.0", "--no-alpn", world.server("hello").url(protocol)).reply()
    same((reply.code, reply.status), (0, 200), f"curl's exit code and the status ({reply.complaint})")


def state_echo(name, size, *arguments):
    @case(name, EVERY)
    def echo(world, protocol):
        path = world.file(size)
        url = world.server("echo").url(protocol)
        reply = curl(world, protocol, *[word.format(path=path) for word in arguments], url)
        same(len(reply.body), size, "the size of the echo")
        with open(path, "rb") as sent:
            expect(reply.body == sent.read(), "the echo differs from what was sent")


state_echo("echo-0B", 0, "--data-binary", "@{path}")
state_echo("echo-1B", 1, "--data-binary", "@{path}")
state_echo("echo-64KiB", 64 * 1024, "--data-binary", "@{path}")
state_echo("echo-10MB", 10_000_000, "--data-binary", "@{path}")
state_echo("echo-of-announced-expectation", 100_000, "-H", "Expect: 100-continue", "--data-binary", "@{path}")


@case("echo-of-unknown-length", EVERY)
def echo_of_unknown_length(world, protocol):
    with open(world.file(3_000_000), "rb") as file:
        sent = file.read()
    reply = curl(world, protocol, "-X", "POST", "-T", "-", world.server("echo").url(protocol), input=sent)
    same(hashlib.sha256(reply.body).hexdigest(), hashlib.sha256(sent).hexdigest(), "the echo's hash")


@case("expect-100-continue", [H1, H1_TLS])
def expect_100_continue(world, protocol):
    arguments = ("-H", "Expect: 100-continue", "--expect100-timeout", "5", "--data-binary", "x" * 5000)
    reply = curl(world, protocol, *arguments, world.server("echo").url(protocol))
    same([block.status for block in reply.informational], [100], "the informational responses")
    expect(reply.facts["time_total"] < 4, "curl did not wait for the 100, it gave up waiting")


@case("stream", EVERY)
def stream(world, protocol):
    path = f"/?bytes={32 * MIB}&chunk=10000"
    reply = curl(world, protocol, world.server("stream").url(protocol, path), keep_body=False)
    same(reply.facts["size_download"], 32 * MIB, "the size of the body")


@case("server-sent-events", EVERY)
def server_sent_events(world, protocol):
    """They come one by one, while the response goes on."""
    reply = Curl(world, protocol, "--no-buffer", world.server("sse").url(protocol), timeout=3).reply()
    same(reply.code, TIMED_OUT, "curl's exit code")
    same(reply.get("content-type"), "text/event-stream", "the content-type")
    expect(2 <= reply.text.count("data:") <= 5, f"in 3 s came {reply.text!r}")


@case("scope", EVERY)
def scope(world, protocol):
    path = "/a%20b/c%2Fd?q=1%20&q=2"
    arguments = ("-X", "PATCH", "-H", "x-two: one", "-H", "x-two: Two", "-H", "X-Mixed: Case")
    reply = curl(world, protocol, *arguments, world.server("scope").url(protocol, path))
    told = json.loads(reply.body)
    same(told["http_version"], protocol.version, "http_version")
    same(told["method"], "PATCH", "method")
    same(told["scheme"], protocol.scheme, "scheme")
    same(told["path"], "/a b/c/d", "path")
    same(told["raw_path"], "/a%20b/c%2Fd", "raw_path")
    same(told["query_string"], "q=1%20&q=2", "query_string")
    headers = [(name.lower(), value) for name, value in told["headers"]]
    same([value for name, value in headers if name == "x-two"], ["one", "Two"], "the two fields of one name")
    same([value for name, value in headers if name == "x-mixed"], ["Case"], "the field of mixed case")
    same(told["client"][0], "127.0.0.1", "the client's address")


def ask_a_hundred_times(world, protocol, *arguments):
    """One run of curl; gives the number of connections it took."""
    each = ("--no-globoff", "--write-out", "%{http_version} %{http_code} %{num_connects}\n")
    url = world.server("hello").url(protocol, "/?[1-100]")
    reply = Curl(world, protocol, *each, *arguments, url, keep_body=False, recent=True).reply()
    same(reply.code, 0, "curl's exit code")
    lines = [line.split() for line in reply.told.splitlines()]
    same(Counter((version, status) for version, status, _ in lines), {(protocol.version, "200"): 100}, "the answers")
    return sum(int(connections) for _, _, connections in lines)


@case("100-in-parallel", EVERY)
def in_parallel(world, protocol):
    connections = ask_a_hundred_times(world, protocol, "--parallel", "--parallel-immediate", "--parallel-max", "100")
    return f"over {connections} connections"


@case("100-in-parallel-on-one-connection", MULTIPLEXED)
def multiplexed(world, protocol):
    connections = ask_a_hundred_times(world, protocol, "--parallel", "--parallel-max", "100")
    same(connections, 1, "the number of connections")


@case("100-in-a-row", EVERY)
def in_a_row(world, protocol):
    same(ask_a_hundred_times(world, protocol), 1, "the number of connections")
