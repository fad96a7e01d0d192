"""The ways in which one application is asked."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    name: str
    scheme: str
    version: str
    """As the application's scope and curl both call it."""
    flags: tuple
    """What makes curl speak it, and nothing else."""

    @property
    def secure(self):
        return self.scheme == "https"


H1 = Protocol("h1", "http", "1.1", ("--http1.1",))
H1_TLS = Protocol("h1-tls", "https", "1.1", ("--http1.1",))
H2C = Protocol("h2c", "http", "2", ("--http2-prior-knowledge",))
H2 = Protocol("h2", "https", "2", ("--http2",))
H3 = Protocol("h3", "https", "3", ("--http3-only",))

WEBSOCKET = Protocol("ws", "http", "1.1", ("--http1.1",))
"""What is compared under this name is messages, not requests; it is none of EVERY."""

EVERY = (H1, H1_TLS, H2C, H2, H3)
ON_TCP = (H1, H1_TLS, H2C, H2)
SECURE = (H1_TLS, H2, H3)
MULTIPLEXED = (H2C, H2, H3)
