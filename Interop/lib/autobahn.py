"""The Autobahn test suite as a client of ours, and what it reports."""

import itertools
import json
import os
import subprocess
import time
from collections import Counter
from dataclasses import dataclass

from .report import Failure

serial = itertools.count(1)
GOOD = ("OK", "INFORMATIONAL")


@dataclass
class Verdicts:
    """What it found of each of its cases: how we behaved in it, and how we closed."""

    cases: dict
    seconds: float

    @staticmethod
    def key(name):
        """In the order of the suite's own numbers."""
        return [int(part) for part in name.split(".")]

    def bad(self):
        """The cases that are not good, each with its verdicts."""
        for name in sorted(self.cases, key=self.key):
            found = [self.cases[name][each] for each in ("behavior", "behaviorClose")]
            if any(verdict not in GOOD for verdict in found):
                yield f"{name} {'/'.join(found)}"

    def __str__(self):
        counts = Counter(case["behavior"] for case in self.cases.values())
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        return f"{len(self.cases)} cases: {told}; {self.seconds:.0f} s"


def fuzz(world, url, cases, limit):
    """Lets it try the cases, which are named as its specification has them, against a server."""
    program = world.fetched("fetch-autobahn", "autobahn/bin/wstest")
    folder = world.path(f"autobahn-{next(serial)}")
    os.makedirs(folder)
    specification = {
        "outdir": folder,
        "servers": [{"agent": "Apus", "url": url}],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    with open(f"{folder}/specification.json", "w") as file:
        json.dump(specification, file)
    began = time.monotonic()
    command = [program, "--mode", "fuzzingclient", "--spec", f"{folder}/specification.json"]
    with open(f"{folder}/log", "wb") as log:
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=limit
            )
        except subprocess.TimeoutExpired:
            raise Failure(f"Autobahn was not done after {limit} s") from None
    if done.returncode or not os.path.exists(f"{folder}/index.json"):
        with open(f"{folder}/log", errors="replace") as log:
            raise Failure(f"Autobahn ended with exit code {done.returncode}: {log.read()[-300:].strip()}")
    with open(f"{folder}/index.json") as index:
        return Verdicts(json.load(index)["Apus"], time.monotonic() - began)
