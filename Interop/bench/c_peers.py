"""Servers written in C. Where one serves only files, it is a file of 13 bytes."""

import os

from lib.protocols import H1, H1_TLS, H2, H2C, H3, ON_TCP

from .fetch import fetched
from .peer import BODY, Peer

MANY = 1_000_000_000


class Nginx(Peer):
    """HTTP/3 takes a newer one than Debian 12's, which is fetched into a private folder."""

    name = "nginx"
    protocols = (*ON_TCP, H3)

    def prepare(self, protocol):
        self.program = fetched("bench/fetch-nginx") if protocol is H3 else self.world.tool("nginx", "nginx-light")

    def command(self, protocol, port):
        configuration = self.file("nginx.conf", self.configuration(protocol, port))
        return [self.program, "-p", self.world.folder, "-e", "stderr", "-c", configuration]

    def configuration(self, protocol, port):
        listen = {H1: "", H1_TLS: "ssl", H2: "ssl http2", H2C: "http2", H3: "quic reuseport"}[protocol]
        temporary = "".join(f"{kind}_temp_path {self.world.path(kind)};\n" for kind in ("client_body", "proxy", "fastcgi"))
        return f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off;
            worker_processes 1;
            pid {self.world.path("nginx.pid")};
            error_log stderr crit;
            events {{ worker_connections 4096; }}
            http {{
                access_log off;
                keepalive_requests {MANY};
                {temporary}
                ssl_protocols TLSv1.3;
                ssl_certificate {self.tls[0]};
                ssl_certificate_key {self.tls[1]};
                server {{
                    listen 127.0.0.1:{port} {listen};
                    {"quic_gso on; http3_max_concurrent_streams 100;" if protocol is H3 else ""}
                    default_type text/plain;
                    location / {{ return 200 "{BODY.decode()}"; }}
                }}
            }}
            """


class H2O(Peer):
    name = "h2o"
    protocols = ON_TCP
    path = "/hello.txt"

    def prepare(self, protocol):
        self.program = self.world.tool("h2o", "h2o")

    def command(self, protocol, port):
        return [self.program, "-c", self.file("h2o.conf", self.configuration(protocol, port))]

    def configuration(self, protocol, port):
        tls = f"""
  ssl:
    certificate-file: {self.tls[0]}
    key-file: {self.tls[1]}"""
        return f"""
{"user: root" if os.geteuid() == 0 else ""}
num-threads: 1
pid-file: {self.world.path("h2o.pid")}
error-log: /dev/null
listen:
  host: 127.0.0.1
  port: {port}{tls if protocol.secure else ""}
hosts:
  default:
    paths:
      /:
        file.dir: {self.world.path("www")}
"""


class Nghttpd(Peer):
    name = "nghttpd"
    protocols = (H2, H2C)
    path = "/hello.txt"

    def prepare(self, protocol):
        self.program = self.world.tool("nghttpd", "nghttp2-server")

    def command(self, protocol, port):
        usual = [self.program, "--address=127.0.0.1", f"--htdocs={self.world.path('www')}"]
        return [*usual, str(port), self.tls[1], self.tls[0]] if protocol.secure else [*usual, "--no-tls", str(port)]


class Ngtcp2(Peer):
    name = "ngtcp2"
    protocols = (H3,)
    path = "/hello.txt"

    def prepare(self, protocol):
        self.program = self.world.tool("gtlsserver", "ngtcp2-server, from backports")

    def command(self, protocol, port):
        types = self.file("mime.types", "text/plain txt\n")
        options = ["--quiet", f"--htdocs={self.world.path('www')}", f"--mime-types-file={types}"]
        return [self.program, *options, "127.0.0.1", str(port), self.tls[1], self.tls[0]]
