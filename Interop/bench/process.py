"""A server that is measured: pinned to a core, with every process that it starts accounted for, and ended."""

import os
import signal
import subprocess
import time

from lib.report import Failure


def cores():
    """The server's core and the load's: the first two that this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Failure("two cores are needed: one for the server, one for the load")
    return allowed[:2]


def pinned(core, command):
    return ["taskset", "-c", str(core), *command]


class Process:
    def __init__(self, command, log, environment=None):
        """Starts it in a session of its own, by which its children are found again."""
        self.log = log
        with open(log, "wb") as output:
            self.main = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**without_apus(), **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()

    @property
    def alive(self):
        return self.main.poll() is None

    def members(self):
        """The ids of its processes."""
        return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and session(entry) == self.main.pid]

    def cpu(self):
        """Nanoseconds that all its threads were on a core, as the scheduler counts them."""
        return sum(thread_times(member) for member in self.members())

    def memory(self):
        """Resident bytes: of the largest of its processes, and of all together."""
        sizes = [resident(member) for member in self.members()] or [0]
        return max(sizes), sum(sizes)

    def tail(self, lines=3):
        with open(self.log, errors="replace") as log:
            return " | ".join(log.read().splitlines()[-lines:])

    def end(self, seconds=3):
        """Asks its processes to leave, then ends those that stay."""
        deadline = time.monotonic() + seconds
        signal_all(self.members(), signal.SIGTERM)
        while self.members_left() and time.monotonic() < deadline:
            time.sleep(0.02)
        signal_all(self.members(), signal.SIGKILL)
        self.main.wait()

    def members_left(self):
        self.main.poll()
        return self.members()


def without_apus():
    return {key: value for key, value in os.environ.items() if not key.startswith("APUS_")}


def signal_all(ids, number):
    for each in ids:
        try:
            os.kill(each, number)
        except ProcessLookupError:
            pass


def session(entry):
    """The session of a process; none of one that is gone, or dead and not yet waited for."""
    try:
        with open(f"/proc/{entry}/stat") as stat:
            state, _, _, number = stat.read().rpartition(")")[2].split()[:4]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state == "Z" else int(number)


def thread_times(member):
    total = 0
    try:
        for thread in os.listdir(f"/proc/{member}/task"):
            with open(f"/proc/{member}/task/{thread}/schedstat") as times:
                total += int(times.read().split()[0])
    except (FileNotFoundError, ProcessLookupError):
        pass  # It ended meanwhile.
    return total


def resident(member):
    try:
        with open(f"/proc/{member}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields.get("VmRSS", "0").split()[0]) * 1024
