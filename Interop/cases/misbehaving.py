"""Applications that do not do as they should: the same answers over every protocol, and the server goes on."""

import time

from lib import raw
from lib.case import case
from lib.curl import TIMED_OUT, Curl, curl
from lib.gtls import gtls
from lib.protocols import EVERY, H1, H3, ON_TCP
from lib.report import expect, same


def url(world, protocol, how):
    return world.server("interop-app").url(protocol, f"/misbehave/{how}?id={how}-{protocol.name}")


def noted(world, protocol, how, within=2):
    """What the application wrote down about its own request."""
    deadline = time.monotonic() + within
    while True:
        lines = curl(world, H1, world.server("interop-app").url(H1, "/disconnects")).text.splitlines()
        for line in lines:
            if line.startswith(f"{how}-{protocol.name} "):
                return line.split(" ", 1)[1]
        expect(time.monotonic() < deadline, f"the application noted nothing within {within} s")
        time.sleep(0.02)


def state_status(how, status):
    @case(f"application-{how}", EVERY)
    def answered(world, protocol):
        reply = curl(world, protocol, url(world, protocol, how), status=status)
        if protocol.version != "1.1":
            same(reply.get("connection"), None, "a field of HTTP/1")


state_status("raises-before-start", 500)
state_status("returns-without-answering", 500)


def state_truncation(how):
    @case(f"application-{how}", EVERY)
    def truncated(world, protocol):
        """A body that is not whole must not look whole."""
        reply = Curl(world, protocol, url(world, protocol, how), timeout=10).reply()
        expect(reply.code not in (0, TIMED_OUT), f"curl ended with {reply.code} after {len(reply.body)} bytes")
        curl(world, protocol, world.server("interop-app").url(protocol, "/disconnects"))
        return reply.complaint.splitlines()[0]


state_truncation("raises-after-start")
state_truncation("returns-with-the-body-unfinished")
state_truncation("body-too-long")
state_truncation("body-too-short")


@case("http-1.0-body-that-fails-ends-in-a-reset", [H1])
def http_1_0_reset(world, protocol):
    """Only the connection's end delimits it: a FIN would say that it is whole."""
    with raw.connect(world.server("interop-app").port("http")) as connection:
        connection.sendall(b"GET /misbehave/raises-after-start HTTP/1.0\r\n\r\n")
        try:
            while connection.recv(65536):
                pass
            expect(False, "the connection ended with a FIN")
        except ConnectionResetError:
            pass


def state_text(how, text):
    @case(f"application-{how}", EVERY)
    def told(world, protocol):
        same(curl(world, protocol, url(world, protocol, how)).text, text, "the body")


state_text("sends-the-body-first", "a contract violation\n")
state_text("starts-twice", "a contract violation\n")
state_text("hops-to-the-main-actor", "from the main actor\nsent by the main actor\nand back\n")


@case("application-sends-after-the-end", EVERY)
def sends_after_end(world, protocol):
    how = "sends-after-the-end"
    same(curl(world, protocol, url(world, protocol, how)).text, "the end\n", "the body")
    same(noted(world, protocol, how), "ignored", "what became of it")


@case("application-sends-from-several-tasks", EVERY)
def several_tasks(world, protocol):
    lines = curl(world, protocol, url(world, protocol, "sends-from-several-tasks")).text.splitlines()
    same(sorted(lines[:-1]), [str(number) for number in range(10)], "what the tasks sent")
    same(lines[-1:], ["done"], "the last line")


@case("application-never-reads", ON_TCP)
def never_reads(world, protocol):
    """Its answer arrives although most of the request is never taken. Debian 12's curl takes a stream that HTTP/2
    resets with NO_ERROR after the answer (RFC 9113 section 8.1) for one that failed."""
    body = f"@{world.file(10_000_000)}"
    reply = curl(world, protocol, "--data-binary", body, url(world, protocol, "never-reads"), recent=True)
    same(reply.text, "unread\n", "the body")
    curl(world, protocol, world.server("interop-app").url(protocol, "/disconnects"))


@case("application-never-reads", [H3])
def never_reads_http3(world, protocol):
    """By ngtcp2's client: curl fails as soon as it may not send on."""
    sending = ("-m", "POST", "-d", world.file(10_000_000))
    transcript = gtls(world, world.server("interop-app"), *sending, path="/misbehave/never-reads")
    same((transcript.statuses, transcript.clean_ends), ({200: 1}, 1), "statuses and clean ends")


def state_note(how, note):
    @case(f"application-{how}", EVERY)
    def learns(world, protocol):
        reply = Curl(world, protocol, url(world, protocol, how), timeout=1).reply()
        same(reply.code, TIMED_OUT, "curl's exit code")
        same(noted(world, protocol, how), note, "what the application saw")


state_note("reads-after-disconnect", "disconnect,disconnect,disconnect,threw")
state_note("awaits-something-else", "cancelled")
