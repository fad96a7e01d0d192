"""The Autobahn test suite: every rule of RFC 6455 and RFC 7692, over HTTP/1.1. Its report stays with --keep."""

from lib.autobahn import fuzz
from lib.case import case
from lib.protocols import H1, H1_TLS
from lib.report import Failure

SHORT = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*", "12.1.1", "12.2.1", "12.4.5", "13.3.1", "13.7.1"]
"""All but the large messages, and the many compressed ones."""


def judge(world, protocol, cases, limit):
    scheme = "wss" if protocol.secure else "ws"
    server = world.server("ws-echo")
    verdicts = fuzz(world, f"{scheme}://127.0.0.1:{server.port(protocol.scheme)}/", cases, limit)
    bad = list(verdicts.bad())
    if bad:
        raise Failure(f"{verdicts}; not as they should be: {', '.join(bad)}")
    return str(verdicts)


@case("autobahn-without-the-long-cases", [H1], limit=120)
def short(world, protocol):
    return judge(world, protocol, SHORT, 110)


@case("autobahn", [H1, H1_TLS], limit=1800, full_only=True)
def every_case(world, protocol):
    return judge(world, protocol, ["*"], 1790)
