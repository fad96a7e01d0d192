"""What every connection of the load has."""

import asyncio
import time


class Connection:
    secure = False

    def __init__(self, ports):
        self.ports = ports
        self.began = time.monotonic()
        self.asked = 0
        """Requests so far."""
        self.process = None
        """The worker's process, once it has answered."""
        self.told = None
        """How the server told it to go away."""
        self.ended = None
        """How it ended, where it is over."""
        self.reset_at = None
        """When a stateless reset came."""
        self.leaving = asyncio.Event()
        """Set when `told` or `ended` is."""

    def note(self, told=None, ended=None):
        self.told, self.ended = self.told or told, self.ended or ended
        self.leaving.set()

    async def rest(self, seconds):
        """A pause, which ends when there is nothing to wait for."""
        try:
            await asyncio.wait_for(self.leaving.wait(), seconds)
        except TimeoutError:
            pass


def process_in(status, body):
    """Answers are the number of the process."""
    if status != 200 or not body.strip().isdigit():
        raise ConnectionError(f"status {status}, {body[:60]!r}")
    return int(body)
