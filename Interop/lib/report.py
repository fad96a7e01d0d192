"""What a case can say: it holds, it does not, or it could not be tried. And how the end is told."""

import contextlib
import signal
import time


class Failure(Exception):
    """The server did not do what the case states."""


class Skipped(Exception):
    """The case could not be tried here; the text says why."""


def expect(condition, otherwise):
    if not condition:
        raise Failure(otherwise)


def same(found, expected, what):
    expect(found == expected, f"{what}: {short(found)}, not {short(expected)}")


def short(value, most=200):
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."


@contextlib.contextmanager
def time_limit(seconds):
    """A case that hangs fails."""

    def expired(signum, frame):
        raise Failure(f"not done after {seconds} s")

    previous = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


class Report:
    """One line a case, and the counts at the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def run(self, case, world):
        began = time.monotonic()
        try:
            with time_limit(case.limit):
                remark = case.run(world)
                world.check_servers()
            word, self.passed = "ok", self.passed + 1
        except Skipped as why:
            word, remark, self.skipped = "SKIPPED", str(why), self.skipped + 1
        except Exception as error:
            remark = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {short(str(error))}"
            word, self.failed = "FAILED", self.failed + 1
        world.forget_dead_servers()
        self.line(word, case.name, began, remark)

    def end(self, world):
        """The servers that many cases used are told to leave; how they do it is a case too."""
        began = time.monotonic()
        wrong = world.stop_all()
        self.passed, self.failed = self.passed + (not wrong), self.failed + bool(wrong)
        self.line("FAILED" if wrong else "ok", "servers-leave-in-order", began, "; ".join(wrong))

    def line(self, word, name, began, remark):
        print(f"{word:7} {name} ({time.monotonic() - began:.2f} s) {remark or ''}".rstrip(), flush=True)

    def summary(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
