"""Chromium and Firefox, and what their own logs say of the ways their WebSockets took."""

import base64
import hashlib
import json
import os
import subprocess

from .protocols import H1_TLS, H2, H3
from .report import Failure
from .world import HERE

FEATURE = "EnableWebsocketsOverHttp3"
"""Chromium's switch for RFC 9220, which is off by default."""

SENT = {
    H1_TLS: "HTTP_TRANSACTION_SEND_REQUEST_HEADERS",
    H2: "HTTP2_SESSION_SEND_HEADERS",
    H3: "HTTP3_HEADERS_SENT",
}
"""The event of Chromium's log with the head of a request that goes out."""


def chat(world, server, browser, program, folder, more, visits):
    """What two pages of the chat show in the end; their pictures are in the folder."""
    os.makedirs(folder)
    interpreter = world.fetched("fetch-python-clients", "venv/bin/python")
    url = f"https://localhost:{server.port('https')}/"
    what = {"browser": browser, "program": program, "url": url, "folder": folder, "more": more, "visits": visits}
    command = [interpreter, f"{HERE}/clients/browser_chat.py", json.dumps(what)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=110)
    if done.returncode:
        raise Failure(f"{browser}: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return json.loads(done.stdout)


def chromium(world, server, protocol, folder):
    """Gives what the pages show, and how many openings its log has over each version of HTTP."""
    port = server.port("https")
    over_quic = [f"--origin-to-force-quic-on=localhost:{port}", f"--enable-features={FEATURE}"]
    over_quic += [f"--ignore-certificate-errors-spki-list={key_hash(world)}"]
    more = over_quic if protocol is H3 else ["--disable-quic"]
    shown = chat(world, server, "chromium", world.tool("chromium", "chromium"), folder, more, visits=1)
    return shown, openings(f"{folder}/net-log.json")


def key_hash(world):
    """Chromium takes a certificate over QUIC only where it is told of its key."""
    public = ["openssl", "x509", "-in", world.certificate, "-pubkey", "-noout"]
    pem = subprocess.run(public, check=True, capture_output=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=pem, check=True, capture_output=True)
    return base64.b64encode(hashlib.sha256(der.stdout).digest()).decode()


def openings(path):
    with open(path) as file:
        log = json.load(file)
    kinds = log["constants"]["logEventTypes"]
    found = dict.fromkeys(SENT, 0)
    for event in log["events"]:
        fields = [str(field).lower() for field in event.get("params", {}).get("headers", [])]
        if ":protocol: websocket" in fields or "upgrade: websocket" in fields:
            for protocol, kind in SENT.items():
                found[protocol] += event["type"] == kinds[kind]
    return found


def firefox(world, server, folder):
    """Gives what the pages show, and how many WebSockets its log has in streams of HTTP/2."""
    program = world.tool("firefox-esr", "firefox-esr")
    shown = chat(world, server, "firefox", program, folder, "nsHttp:5,nsWebSocket:5", visits=1)
    with open(f"{folder}/moz.moz_log", errors="replace") as log:
        return shown, sum("creating Http2StreamWebSocket" in line for line in log)
