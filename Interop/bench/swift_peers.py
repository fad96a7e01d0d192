"""Apus, and Hummingbird."""

import os
import subprocess
import sys

from lib.protocols import EVERY, H1, H1_TLS, H2, H2C, WEBSOCKET
from lib.report import Skipped
from lib.world import HERE, ROOT

from .peer import Peer


class Apus(Peer):
    name = "apus"
    protocols = (*EVERY, WEBSOCKET)
    supervision = ()

    def prepare(self, protocol):
        if not os.path.exists(self.world.apus):
            raise Skipped(f"{os.path.relpath(self.world.apus, ROOT)} is not built: swift build -c release")

    def command(self, protocol, port):
        app = "ws-echo" if protocol is WEBSOCKET else "hello"
        tls = ["--certfile", self.tls[0], "--keyfile", self.tls[1]] if protocol.secure else []
        where = ["--bind", f"127.0.0.1:{port}"]
        return [self.world.apus, "serve", app, *where, "--no-access-log", *tls, *self.supervision]


class ApusOneWorker(Apus):
    """With a supervisor."""

    name = "apus-1w"
    supervision = ("--workers", "1", "--status-socket", "none")


class ApusTwoWorkers(Apus):
    """Both on the core that the others have."""

    name = "apus-2w"
    supervision = ("--workers", "2", "--status-socket", "none")


class Hummingbird(Peer):
    """A package of its own, for whose build the user has to ask: it takes minutes."""

    name = "hummingbird"
    protocols = (H1, H1_TLS, H2, H2C)
    package = f"{HERE}/HummingbirdPeer"
    program = f"{package}/.build/release/hummingbird-hello"
    build = False

    def prepare(self, protocol):
        if os.path.exists(self.program):
            return
        if not self.build:
            raise Skipped("it is not built: --peers all does that, and takes minutes")
        print("building Hummingbird", file=sys.stderr, flush=True)
        build = ["swift", "build", "-c", "release", "--package-path", self.package]
        try:
            done = subprocess.run(build, capture_output=True, text=True, timeout=1800)
        except subprocess.TimeoutExpired:
            raise Skipped("its build was not done after half an hour") from None
        if done.returncode:
            raise Skipped(f"it does not build: {(done.stderr or done.stdout).strip()[-300:]}")

    def command(self, protocol, port):
        return [self.program, protocol.name, str(port), *self.tls]
