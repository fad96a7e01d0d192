"""Python's servers, in a virtual environment of their own."""

import os
import subprocess
import sys

from lib.protocols import H1, H1_TLS, H2, H2C, H3, WEBSOCKET
from lib.report import Skipped
from lib.world import HERE

from .peer import Peer

FOLDER = f"{HERE}/.cache/python"
PACKAGES = ("uvicorn[standard]", "hypercorn[h3]", "granian", "uvloop", "wsproto")


class PythonPeer(Peer):
    application = "hello_asgi:application"
    environment = {"PYTHONPATH": f"{HERE}/bench", "PYTHONDONTWRITEBYTECODE": "1"}

    def prepare(self, protocol):
        environment()

    def module(self, *options):
        return [f"{FOLDER}/bin/python", "-m", *options]


def environment():
    """Made at first use; a mark says that it is complete."""
    mark = f"{FOLDER}/complete"
    if os.path.exists(mark):
        return
    print("making a virtual environment for Python's servers", file=sys.stderr, flush=True)
    for step in (
        [sys.executable, "-m", "venv", "--clear", FOLDER],
        [f"{FOLDER}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
    ):
        try:
            done = subprocess.run(step, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            raise Skipped("pip was not done after five minutes") from None
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
            raise Skipped(f"no virtual environment with Python's servers: {reason[-1]}")
    open(mark, "w").close()


class Uvicorn(PythonPeer):
    name = "uvicorn"
    protocols = (H1, H1_TLS, WEBSOCKET)
    websockets = "websockets"

    def command(self, protocol, port):
        tls = ["--ssl-certfile", self.tls[0], "--ssl-keyfile", self.tls[1]] if protocol.secure else []
        quiet = ["--no-access-log", "--log-level", "warning", "--lifespan", "off", "--ws", self.websockets]
        return self.module("uvicorn", self.application, "--port", str(port), *quiet, *tls)


class UvicornWsproto(Uvicorn):
    """With the other of the two packages that it can use for WebSockets."""

    name = "uvicorn-wsproto"
    protocols = (WEBSOCKET,)
    websockets = "wsproto"


class Hypercorn(PythonPeer):
    name = "hypercorn"
    protocols = (H1, H1_TLS, H2, H2C, H3, WEBSOCKET)

    def command(self, protocol, port):
        tls = ["--certfile", self.tls[0], "--keyfile", self.tls[1]] if protocol.secure else []
        bind = "--quic-bind" if protocol is H3 else "--bind"
        # It wants an address for TCP too.
        tcp = ["--bind", "127.0.0.1:0"] if protocol is H3 else []
        usual = ["--workers", "1", "--worker-class", "uvloop", "--log-level", "warning"]
        return self.module("hypercorn", *usual, bind, f"127.0.0.1:{port}", *tcp, *tls, self.application)


class Granian(PythonPeer):
    name = "granian"
    protocols = (H1, H1_TLS, H2, H2C, WEBSOCKET)

    def command(self, protocol, port):
        tls = ["--ssl-certificate", self.tls[0], "--ssl-keyfile", self.tls[1]] if protocol.secure else []
        version = "2" if protocol in (H2, H2C) else "1"
        usual = ["--interface", "asginl", "--workers", "1", "--loop", "uvloop", "--log-level", "warning"]
        return self.module(
            "granian", *usual, "--http", version, "--host", "127.0.0.1", "--port", str(port), *tls, self.application
        )
