"""Where the server listens, and from where it answers."""

from lib import raw
from lib.case import case
from lib.curl import curl
from lib.protocols import H1, H1_TLS, H2, H3, SECURE
from lib.report import Skipped, same


@case("ipv6", SECURE)
def ipv6(world, protocol):
    with open("/proc/net/if_inet6") as addresses:
        if not any(line.startswith("00000000000000000000000000000001") for line in addresses):
            raise Skipped("this machine has no ::1")
    with world.fresh("hello", "--bind", "[::1]:0", wanted=["https"], loopback=False) as server:
        curl(world, protocol, server.url(protocol, host="[::1]"))


@case("several-binds")
def several_binds(world):
    binds = ("--bind", "127.0.0.1:0", "--bind", "127.0.0.2:0")
    with world.fresh("hello", *binds, wanted=["https"], loopback=False) as server:
        same(len({port for _, port in server.addresses["https"]}), 2, "the number of ports")
        for protocol in (H1_TLS, H2, H3):
            for host, port in dict(server.addresses["https"]).items():
                curl(world, protocol, "--insecure", f"https://{host}:{port}/")


@case("answer-comes-from-the-address-asked", SECURE)
def address_asked(world, protocol):
    """Bound to every address, it answers a datagram to 127.0.0.3 from there: curl's socket takes no other."""
    with world.fresh("hello", "--bind", "0.0.0.0:0", wanted=["https"], loopback=False) as server:
        for host in ("127.0.0.1", "127.0.0.3"):
            curl(world, protocol, "--insecure", server.url(protocol, host=host))


@case("unix-socket")
def unix_socket(world):
    path = world.path("apus.socket")
    binds = ("--bind", f"unix:{path}", "--insecure-bind", "127.0.0.1:0")
    with world.fresh("hello", *binds, wanted=["http"], loopback=False):
        curl(world, H1_TLS, "--unix-socket", path, "https://localhost/")


@case("chosen-protocols")
def chosen_protocols(world):
    """With --http 1.1 neither ALPN nor a preface leads to HTTP/2."""
    with world.fresh("hello", "--http", "1.1") as server:
        curl(world, H1, "--http2", server.url(H1))
        curl(world, H1_TLS, "--http2", server.url(H1_TLS))
        with raw.connect_tls(world, server.port("https"), ["h2", "http/1.1"]) as connection:
            same(connection.selected_alpn_protocol(), "http/1.1", "the protocol of a client that prefers h2")
