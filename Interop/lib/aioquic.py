"""A third HTTP/3 client, for requests that no command-line client makes."""

import json
import subprocess

from .protocols import H3
from .report import Failure
from .world import HERE


def ask(world, server, path, **what):
    """Gives `end` (complete, reset or closed), `code`, `sections` (heads and trailers) and `body`."""
    interpreter = world.fetched("fetch-python-clients", "venv/bin/python")
    command = [interpreter, f"{HERE}/clients/http3.py", server.url(H3, path), json.dumps(what)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise Failure(f"aioquic: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)
