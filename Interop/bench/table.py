"""The figures as text for a terminal, and as Markdown for the README."""

from lib.protocols import H1, H1_TLS, H2, H2C, H3, WEBSOCKET
from lib.server import MIB

OURS = "apus"
TITLES = {
    H1: "HTTP/1.1",
    H1_TLS: "HTTP/1.1, TLS",
    H2: "HTTP/2, TLS",
    H2C: "HTTP/2, plaintext",
    H3: "HTTP/3",
    WEBSOCKET: "WebSocket echo",
}
BUDGETS = {H1: ("nginx", 1.2), H2: ("nghttpd", 1.5), H3: ("ngtcp2", 2.0)}
"""At most so many times the server CPU of that peer."""
ONE_WORKER, TWO_WORKERS, MOST_OF_TWO = "apus-1w", "apus-2w", 1.1
"""At most so many times as much for a request with two workers as with one."""


class Results:
    """The medians of each peer, for one protocol."""

    def __init__(self, protocol, samples):
        self.protocol = protocol
        self.samples = dict(sorted(samples.items(), key=lambda each: each[1].cpu))

    @property
    def best_peer(self):
        """The one, other than ours, whose requests cost least."""
        return next((name for name in self.samples if not name.startswith(OURS)), None)

    def ratio(self, name, to):
        """How many times as much a request costs."""
        if name not in self.samples or to not in self.samples:
            return None
        return self.samples[name].cpu / self.samples[to].cpu

    def text(self, describes):
        yield f"\n{TITLES[self.protocol]} ({describes})"
        yield f"{'':12} {'req/s':>9} {'CPU µs':>8} {'p50 ms':>8} {'p99 ms':>8} {'RSS MiB':>11} {'x best':>7}"
        for name, sample in self.samples.items():
            memory = f"{sample.largest / MIB:.0f}/{sample.resident / MIB:.0f}"
            yield (
                f"{name:12} {sample.rate:9,.0f} {figure(sample.cpu):>8} {sample.latency.median:8.2f}"
                f" {sample.latency.p99:8.2f} {memory:>11} {factor(self.ratio(name, self.best_peer)):>7}"
            )
        if OURS in self.samples and self.best_peer:
            yield f"{OURS} takes {factor(self.ratio(OURS, self.best_peer))} times the CPU of {self.best_peer}"
        yield from self.budget()

    def budget(self):
        peer, most = BUDGETS.get(self.protocol, (None, 0))
        yield from verdict(self.ratio(OURS, peer), f"{peer}'s", most)
        yield from verdict(self.ratio(TWO_WORKERS, ONE_WORKER), "one worker's, with two", MOST_OF_TWO)


def verdict(ratio, of, most):
    if ratio is not None:
        yield f"budget: {factor(ratio)} times {of}, of {most} allowed: {'kept' if ratio <= most else 'EXCEEDED'}"


def figure(number):
    """Three digits that count."""
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def factor(ratio):
    return "-" if ratio is None else f"{ratio:.2f}"


def markdown(results):
    """A row for each peer, a column for each protocol, and how ours compares with the best."""
    names = sorted({name for each in results for name in each.samples}, key=lambda name: (name != OURS, name))
    titles = " | ".join(TITLES[each.protocol] for each in results)
    yield f"| CPU µs a request (thousand requests a second) | {titles} | MiB |"
    yield "|---|" + "--:|" * (len(results) + 1)
    for name in names:
        cells = [cell(each.samples.get(name)) for each in results]
        most = max(each.samples[name].resident for each in results if name in each.samples)
        yield f"| {name} | " + " | ".join(cells) + f" | {most / MIB:.0f} |"
    if OURS in names:
        yield f"| {OURS}, to the best of the others | " + " | ".join(compared(each) for each in results) + " | |"


def cell(sample):
    return "-" if sample is None else f"{figure(sample.cpu)} ({sample.rate / 1000:.0f})"


def compared(each):
    ratio = each.ratio(OURS, each.best_peer)
    return "-" if ratio is None else f"{ratio:.2f} × {each.best_peer}"
