"""What the cases share: the binaries, the tools, a certificate, and servers that stay up between them."""

import contextlib
import os
import shutil
import subprocess

from .report import Failure, Skipped
from .server import Server

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(HERE)


class World:
    def __init__(self, folder, full):
        self.folder = folder
        self.full = full
        self.apus = os.environ.get("INTEROP_APUS", f"{ROOT}/.build/release/apus")
        self.interop_app = os.environ.get("INTEROP_APP", f"{ROOT}/.build/release/interop-app")
        self.certificate = self.path("cert.pem")
        self.key = self.path("key.pem")
        self.shared = {}
        self.started = 0
        self.unfetched = {}

    def path(self, name):
        return os.path.join(self.folder, name)

    # Tools

    def tool(self, name, package):
        found = shutil.which(name)
        if not found:
            raise Skipped(f"{name} is not installed (Debian package {package})")
        return found

    def fetch_all(self):
        """Runs the scripts that fetch tools into the private folder; what fails is told by those who need it."""
        for script in ("fetch-curl", "fetch-python-clients", "fetch-autobahn"):
            try:
                done = subprocess.run([f"{HERE}/{script}"], capture_output=True, text=True, timeout=300)
                self.unfetched[script] = (done.stderr.strip().splitlines() or [script])[-1] if done.returncode else None
            except subprocess.TimeoutExpired:
                self.unfetched[script] = f"{script} was not done after 300 s"

    def fetched(self, script, name):
        """The path of what a script has fetched."""
        if self.unfetched[script]:
            raise Skipped(self.unfetched[script])
        return f"{HERE}/.cache/{name}"

    def make_certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            + ["-days", "2", "-subj", "/CN=localhost", "-keyout", self.key, "-out", self.certificate]
            + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1"],
            check=True,
            capture_output=True,
        )

    def file(self, size, name=None):
        """A file of that many bytes that do not compress and do not repeat."""
        path = self.path(name or f"random-{size}")
        if not os.path.exists(path):
            with open("/dev/urandom", "rb") as source, open(path, "wb") as target:
                left = size
                while left:
                    left -= target.write(source.read(min(left, 1 << 20)))
        return path

    # Servers

    def command(self, app, *options):
        """The command that serves an application: one of `apus serve`'s, or `interop-app`."""
        if app == "interop-app":
            if not os.path.exists(self.interop_app):
                raise Skipped(f"no {os.path.relpath(self.interop_app, ROOT)} is built")
            return [self.interop_app, *options]
        return [self.apus, "serve", app, *options]

    @property
    def tls_options(self):
        return ["--certfile", self.certificate, "--keyfile", self.key]

    def start(self, app, *options, wanted=("https", "http"), loopback=True, kind=Server, **how):
        """A server of its own for a case; by default over all protocols, with TLS and without."""
        where = ["--bind", "127.0.0.1:0", "--insecure-bind", "127.0.0.1:0"] if loopback else []
        quiet = ["--no-access-log"] if "--access-log" not in options else []
        command = self.command(app, *where, *self.tls_options, *quiet, *options)
        self.started += 1
        name = app.split(":")[0]
        return kind(command, self.path(f"{self.started:03}-{name}.log"), wanted, **how)

    @contextlib.contextmanager
    def fresh(self, app, *options, **how):
        """A server that lives as long as the block. At its end it must still be there, and leave in order."""
        server = self.start(app, *options, **how)
        try:
            yield server
            if not server.alive:
                raise Failure(server.why_dead())
            code = server.stop()
            if code != 0:
                raise Failure(f"after SIGTERM {server.why_dead()}")
        finally:
            server.kill()

    def server(self, app):
        """A server that later cases use too."""
        if app not in self.shared:
            self.shared[app] = self.start(app)
        return self.shared[app]

    def check_servers(self):
        for server in self.shared.values():
            if not server.alive:
                raise Failure(f"the server is gone: {server.why_dead()}")

    def forget_dead_servers(self):
        """The next case that wants one of them starts it anew."""
        self.shared = {app: server for app, server in self.shared.items() if server.alive}

    def stop_all(self):
        """Ends the shared servers; gives what was wrong with their end."""
        wrong = []
        for server in self.shared.values():
            try:
                code = server.stop()
                if code != 0:
                    wrong.append(server.why_dead())
                elif server.crashed:
                    wrong.append(f"{server.name} reports a crash{server.tail()}")
            except Failure as failure:
                wrong.append(str(failure))
        self.shared.clear()
        return wrong
