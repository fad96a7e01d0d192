"""One process of the real binary, on loopback, on ports that the system chose."""

import os
import re
import signal
import subprocess
import time

from .report import Failure

ADDRESS = re.compile(r"\b(https?)://(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d+)")
CRASH = re.compile(r"Fatal error|AddressSanitizer|ThreadSanitizer|LeakSanitizer|runtime error:")
MIB = 1024 * 1024


class Server:
    def __init__(self, command, log, wanted=("https", "http"), environment=None, **how):
        """Starts it, and waits until its banner has named an address of every wanted scheme."""
        self.log = log
        self.name = os.path.basename(log)
        usual = {key: value for key, value in os.environ.items() if not key.startswith("APUS_")}
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=usual | (environment or {}),
                **how,
            )
        try:
            self.addresses = self.await_banner(wanted)
        except BaseException:
            self.kill()
            raise

    def await_banner(self, wanted, seconds=20):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            addresses = {}
            for scheme, host, port in ADDRESS.findall(self.output()):
                addresses.setdefault(scheme, []).append((host, int(port)))
            if all(scheme in addresses for scheme in wanted):
                return addresses
            if self.process.poll() is not None:
                raise Failure(f"{self.name} did not start (exit code {self.process.returncode}){self.tail()}")
            time.sleep(0.01)
        raise Failure(f"{self.name} named no {' and '.join(wanted)} address{self.tail()}")

    def output(self):
        with open(self.log, errors="replace") as log:
            return log.read()

    def tail(self, lines=6):
        """The end of its output, for a failure's reason."""
        last = self.output().splitlines()[-lines:]
        return "".join(f"\n        | {line}" for line in last)

    def port(self, scheme):
        return self.addresses[scheme][0][1]

    def url(self, protocol, path="/", host="127.0.0.1"):
        return f"{protocol.scheme}://{host}:{self.port(protocol.scheme)}{path}"

    # Its state

    @property
    def alive(self):
        return self.process.poll() is None

    def why_dead(self):
        code = self.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{self.name} ended with {how}{self.tail()}"

    @property
    def crashed(self):
        return bool(CRASH.search(self.output()))

    def memory(self):
        """Resident memory now, and its peak since `forget_peak`, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return tuple(int(fields[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))

    def forget_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w") as clear:
            clear.write("5")

    def cpu_seconds(self):
        """What all of its threads have used."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            # Behind the name, which may have blanks: utime and stime are the 14th and 15th of all.
            user, system = stat.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    # Its end

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def wait(self, seconds):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} still runs after {seconds} s{self.tail()}") from None

    def stop(self, seconds=15):
        """Asks it to leave, and gives its exit code."""
        if self.alive:
            self.signal()
        try:
            return self.wait(seconds)
        finally:
            self.kill()

    def kill(self):
        if self.alive:
            self.process.kill()
            self.process.wait()
