"""One server under one load."""

import os
import socket
from dataclasses import dataclass
from statistics import median

from lib.protocols import H3

from .load import Latency, Target
from .peer import BODY, await_answer
from .process import Process, pinned


@dataclass(frozen=True)
class Sample:
    rate: float
    """Requests a second."""
    cpu: float
    """Microseconds of the server a request."""
    latency: Latency
    largest: int
    """Resident bytes after the load, of its largest process."""
    resident: int
    """Of all its processes."""


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def measure(peer, protocol, load, network, world, core, seconds):
    """Starts it, loads it, ends it."""
    port = free_port(socket.SOCK_DGRAM if protocol is H3 else socket.SOCK_STREAM)
    target = Target(protocol, port, peer.path)
    command = pinned(core, network.inside(peer.command(protocol, port)))
    with Process(command, world.path(f"{peer.name}-{protocol.name}.log"), peer.environment) as process:
        await_answer(process, target, network, world)
        load.warm_up(target)
        before = process.cpu()
        outcome = load.run(target, seconds)
        spent = process.cpu() - before
        largest, resident = process.memory()
        latency = load.latency(target, outcome)
    return Sample(outcome.requests / outcome.seconds, spent / 1000 / outcome.requests, latency, largest, resident)


def medians(samples):
    """Of each figure by itself."""
    latencies = [sample.latency for sample in samples]
    return Sample(
        median(sample.rate for sample in samples),
        median(sample.cpu for sample in samples),
        Latency(median(each.median for each in latencies), median(each.p99 for each in latencies)),
        int(median(sample.largest for sample in samples)),
        int(median(sample.resident for sample in samples)),
    )


def make_files(world):
    """The certificate, and the file of 13 bytes for the servers that answer from one."""
    world.make_certificate()
    os.mkdir(world.path("www"))
    with open(world.path("www/hello.txt"), "wb") as file:
        file.write(BODY)
