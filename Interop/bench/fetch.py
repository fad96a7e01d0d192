"""Programs that a script fetches into the private folder."""

import functools
import subprocess

from lib.report import Skipped
from lib.world import HERE


@functools.cache
def fetched(script):
    """The path that the script prints, once it has what it is for."""
    try:
        done = subprocess.run([f"{HERE}/{script}"], capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        raise Skipped(f"{script} was not done after five minutes") from None
    if done.returncode:
        raise Skipped((done.stderr.strip().splitlines() or [f"{script} failed"])[-1])
    return done.stdout.split()[-1]
