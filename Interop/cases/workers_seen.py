"""What can be seen of workers: the banner, the log, `apus status`, process titles; and what cannot."""

import json
import os
import re
import subprocess
import time

from lib.case import case
from lib.curl import curl
from lib.load import Load
from lib.protocols import EVERY, H1
from lib.report import expect, same
from lib.supervised import supervised

FIELDS = {"id", "index", "slot", "pid", "state", "age", "requests", "http1", "http2", "http3", "webSockets", "memory"}
HEX = re.compile(r"[0-9a-fA-F]{32,}")


def status(world, *options, **how):
    return subprocess.run([world.apus, "status", *options], capture_output=True, text=True, timeout=10, **how)


@case("workers-status")
def status_of_workers(world):
    kinds = {
        "h1": ("http1", 2, 1, "/process", 0.05, 10_000),
        "h2": ("http2", 2, 1, "/process", 0.05, 10_000),
        "h3": ("http3", 2, 1, "/process", 0.05, 10_000),
        "ws": ("echo", 2, 1, "/ws/echo", 0.05, 10_000),
    }
    with supervised(world, "interop-app", 3) as server:
        with Load(world, server, kinds) as load:
            load.await_progress(5)
            time.sleep(1.2)
            told = json.loads(status(world, "--status-socket", server.socket_path, "--json").stdout)
            table = status(world, "--status-socket", server.socket_path)
            load.stop().nothing_failed()
        same(told["pid"], server.process.pid, "the supervisor's process")
        workers = told["workers"]
        same(sorted(each["pid"] for each in workers), sorted(server.children()), "the workers' processes")
        expect(FIELDS <= set(workers[0]), f"{FIELDS - set(workers[0])} are not told")
        for name in ("http1", "http2", "http3", "webSockets"):
            expect(sum(each[name] for each in workers) >= 2, f"{name} of the workers: {[each[name] for each in workers]}")
        for each in workers:
            expect(1 << 20 < each["memory"] < 1 << 30, f"{each['pid']} has {each['memory']} bytes")
            expect(0 <= each["age"] < 60, f"{each['pid']} is {each['age']} s old")
        expect(told["listeners"] and any("https" in each for each in told["listeners"]), "no listener is told")
        same(table.returncode, 0, "the exit code")
        for process in server.children():
            expect(str(process) in table.stdout, f"the table does not have {process}:\n{table.stdout}")
    return " | ".join(table.stdout.strip().splitlines()[-1:])


@case("workers-status-of-nobody")
def status_of_nobody(world):
    done = status(world, "--status-socket", world.path("nobody.status"))
    expect(done.returncode, "the exit code is 0")
    expect(done.stderr.strip(), "nothing is said")
    return done.stderr.strip().splitlines()[0]


@case("workers-status-is-the-owners")
def status_rights(world):
    """Its socket is the owner's alone, and found where it usually is."""
    with supervised(world, "hello", 2) as server:
        mode = os.stat(server.socket_path).st_mode & 0o777
        same(oct(mode), "0o600", "the mode of the socket")
    expect(not os.path.exists(server.socket_path), "the socket is still there")
    folder = world.path("run")
    os.makedirs(folder, 0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": folder}
    command = [*world.command("hello"), "--workers", "1", "--bind", "127.0.0.1:0"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        while "listening" not in process.stderr.readline():
            expect(process.poll() is None, "it has ended")
        same(oct(os.stat(f"{folder}/apus").st_mode & 0o777), "0o700", "the mode of the folder")
        found = status(world, env=environment)
        expect(str(process.pid) in found.stdout, f"apus status does not find it: {found.stdout}{found.stderr}")
    finally:
        process.terminate()
        process.communicate(timeout=10)


@case("workers-titles-and-banner")
def titles(world):
    with supervised(world, "hello", 2) as server:
        titles = {process: command_line(process) for process in [server.process.pid, *server.active()]}
        for process, title in titles.items():
            word = "supervisor" if process == server.process.pid else "worker"
            expect(word in title, f"the title of the {word} is '{title}'")
        same(len(set(titles.values())), 3, "different titles")
        for each in server.workers():
            server.await_line(rf"workers:.*\b{each['index']} \(slot {each['slot']}\)", seconds=1)
    return ", ".join(titles.values())


def command_line(process):
    with open(f"/proc/{process}/cmdline") as file:
        return file.read().replace("\0", " ").strip()


@case("workers-one-a-core")
def one_a_core(world):
    """With `auto`; and each on its own, where that is asked for."""
    cores = os.sched_getaffinity(0)
    with supervised(world, "hello", "auto", "--pin-workers") as server:
        same(len(server.children()), len(cores), "the number of workers")
        pinned = [os.sched_getaffinity(process) for process in server.active()]
        same(sorted(map(sorted, pinned)), sorted([core] for core in cores), "the cores of the workers")


@case("workers-log-names-the-worker")
def log_names_worker(world):
    with supervised(world, "interop-app", 2, "--access-log") as server:
        for protocol in EVERY:
            curl(world, protocol, server.url(protocol, f"/process?over={protocol.name}"))
        lines = [line for line in server.output().splitlines() if "over=" in line]
        same(len(lines), len(EVERY), "lines about requests")
        expect(all("worker" in line or "slot" in line for line in lines), f"a line does not name its worker: {lines[0]}")
    return lines[0].split(": ", 1)[1]


@case("workers-hold-no-secret-in-sight")
def no_secret(world):
    """Nothing of the length of a key on a command line or in the environment, and no descriptor of others."""
    with supervised(world, "hello", 2, "--keyfile-password", "unneeded-password") as server:
        curl(world, H1, server.url(H1))
        for process in server.active():
            for name in ("cmdline", "environ"):
                with open(f"/proc/{process}/{name}", errors="replace") as file:
                    text = file.read()
                expect(not HEX.search(text), f"{name} of a worker has what looks like a key: {HEX.search(text)}")
            links = [link for each in os.listdir(f"/proc/{process}/fd") if (link := target(process, each))]
            expect(not any(world.key in link or "/terminals" in link for link in links), f"open in a worker: {links}")
            expect(len(links) < 100, f"a worker has {len(links)} descriptors")
    return f"{len(links)} descriptors in a worker"


def target(process, descriptor):
    try:
        return os.readlink(f"/proc/{process}/fd/{descriptor}")
    except FileNotFoundError:
        return None
