"""HTTP/3 is found by those who came over TCP, and announced to nobody else."""

from dataclasses import replace

from lib.case import case
from lib.curl import Curl, curl
from lib.protocols import EVERY, H1_TLS, H2, H3
from lib.report import expect, same


@case("alt-svc", EVERY)
def alt_svc(world, protocol):
    server = world.server("hello")
    announced = f'h3=":{server.port("https")}"; ma=86400' if protocol in (H1_TLS, H2) else None
    same(curl(world, protocol, server.url(protocol)).get("alt-svc"), announced, "alt-svc")


@case("alt-svc-port")
def alt_svc_port(world):
    with world.fresh("hello", "--alt-svc-port", "443") as server:
        same(curl(world, H2, server.url(H2)).get("alt-svc"), 'h3=":443"; ma=86400', "alt-svc")


@case("alt-svc-without-http3")
def alt_svc_without_http3(world):
    with world.fresh("hello", "--http", "1.1,2") as server:
        same(curl(world, H2, server.url(H2)).get("alt-svc"), None, "alt-svc")


@case("alt-svc-leads-to-http3", [H1_TLS, H2])
def leads_to_http3(world, protocol):
    """curl's own cache file takes its second request to HTTP/3."""
    server = world.server("hello")
    cache = world.path(f"alt-svc-{protocol.name}")
    arguments = ("--alt-svc", cache, "--resolve", f"localhost:{server.port('https')}:127.0.0.1")
    url = server.url(H3, host="localhost")
    versions = []
    for flags in (protocol.flags, ()):
        asking = replace(H3, flags=flags)
        reply = Curl(world, asking, *arguments, url).reply()
        same((reply.code, reply.status), (0, 200), f"curl's exit code and the status ({reply.complaint})")
        versions.append(reply.version)
    with open(cache) as file:
        expect(" h3 " in file.read(), "curl noted nothing of HTTP/3")
    same(versions, [protocol.version, "3"], "the versions of both requests")
