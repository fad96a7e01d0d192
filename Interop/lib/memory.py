"""Memory that must stay bounded, as the kernel counts it."""

import contextlib
from dataclasses import dataclass

from .report import Failure
from .server import MIB


@dataclass
class Growth:
    before: int = 0
    peak: int = 0
    after: int = 0

    def __str__(self):
        return f"memory {self.before / MIB:.1f} MiB, peak {self.peak / MIB:.1f}, after {self.after / MIB:.1f}"


@contextlib.contextmanager
def bounded(server, limit):
    """The block may not raise the server's peak by more than `limit` bytes."""
    growth = Growth()
    server.forget_peak()
    growth.before = server.memory()[0]
    yield growth
    growth.after, growth.peak = server.memory()
    if growth.peak - growth.before > limit:
        raise Failure(f"{growth}: more than {limit / MIB:.0f} MiB of growth")
