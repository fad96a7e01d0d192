"""What a supervisor refuses at its start: a sentence, exit code 2, and nobody is left behind."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile

from lib.case import case
from lib.report import Skipped, expect, same
from lib.supervised import supervised

NOBODY = 65534


def started(world, *arguments, program=None, **how):
    """Runs to its end; where it does not end, that is what is wrong."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("APUS_")}
    command = [program or world.apus, "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=15, env=environment, **how)


def refused(world, *arguments, naming=None, **how):
    done = started(world, "hello", *arguments, **how)
    what = " ".join(arguments)
    told = [line for line in done.stderr.splitlines() if line.strip()]
    same(done.returncode, 2, f"the exit code of {what} ({told[:1]})")
    expect(told, f"nothing is said about {what}")
    expect(naming is None or naming in done.stderr, f"{what}: '{naming}' is not named: {told[0]}")
    return told[0]


WORKERS = ("--workers", "2", "--status-socket", "none")
ANYWHERE = (*WORKERS, "--bind", "127.0.0.1:0")


@case("workers-port-in-use")
def port_in_use(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        return refused(world, *WORKERS, "--bind", f"127.0.0.1:{port}", naming=port)


@case("workers-udp-port-in-use")
def udp_port_in_use(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        return refused(world, *WORKERS, "--bind", f"127.0.0.1:{port}", *world.tls_options, naming=port)


@case("workers-second-server-on-the-port")
def second_server(world):
    """SO_REUSEPORT is for the workers alone: a second server takes no connections from the first."""
    with supervised(world, "hello", 2) as server:
        return refused(world, *WORKERS, "--bind", f"127.0.0.1:{server.port('http')}")


@contextlib.contextmanager
def for_everybody(world):
    """The executable where any account may run it."""
    if os.geteuid() != 0:
        raise Skipped("this takes root")
    folder = tempfile.mkdtemp(prefix="apus-interop-")
    try:
        os.chmod(folder, 0o755)
        yield shutil.copy2(world.apus, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@case("workers-no-right-to-a-port")
def no_right(world):
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as first:
        if int(first.read()) <= 443:
            raise Skipped("everybody may use port 443 here")
    with for_everybody(world) as program:
        rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return refused(world, *WORKERS, "--bind", "127.0.0.1:443", naming="443", program=program, **rights)


@case("workers-no-right-to-an-account")
def no_right_to_account(world):
    with for_everybody(world) as program:
        rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return refused(world, *ANYWHERE, "--user", "root", program=program, **rights)


@case("workers-no-right-to-an-owner")
def no_right_to_owner(world):
    """The option is named that cannot be, and the socket's file does not stay."""
    path = f"/tmp/apus-interop-{os.getpid()}.socket"
    with for_everybody(world) as program:
        rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        where = ("--bind", f"unix:{path}", "--unix-owner", "root")
        told = refused(world, *WORKERS, *where, naming="--unix-owner", program=program, **rights)
    expect(not os.path.exists(path), "the socket's file is still there")
    return told


@case("workers-unknown-account")
def unknown_account(world):
    first = refused(world, *ANYWHERE, "--user", "no-such-user", naming="no-such-user")
    refused(world, *ANYWHERE, "--group", "no-such-group", naming="no-such-group")
    return first


@case("workers-bad-descriptor")
def bad_descriptor(world):
    told = [refused(world, *WORKERS, "--bind", "fd:97", naming="97")]
    with open(world.certificate) as file:
        descriptor = file.fileno()
        told.append(refused(world, *WORKERS, "--bind", f"fd:{descriptor}", pass_fds=[descriptor]))
    with socket.socketpair()[0] as connected:
        descriptor = connected.fileno()
        told.append(refused(world, *WORKERS, "--bind", f"fd:{descriptor}", pass_fds=[descriptor]))
    refused(world, *WORKERS, "--bind", "fd:-1")
    refused(world, *WORKERS, "--bind", "fd:x")
    return "; ".join(told)


@case("workers-nothing-from-systemd")
def nothing_passed(world):
    return refused(world, *WORKERS, "--bind", "systemd")


@case("workers-bad-numbers")
def bad_numbers(world):
    for count in ("0", "-1", "65", "many", "1.5"):
        refused(world, "--workers", count, "--bind", "127.0.0.1:0")
    refused(world, "--workers", "4", "--max-workers", "2", "--bind", "127.0.0.1:0", naming="--max-workers")
    for option in ("--worker-timeout", "--max-requests", "--max-requests-jitter", "--worker-max-age", "--worker-max-memory"):
        refused(world, *ANYWHERE, option, "-1", naming=option)
        refused(world, *ANYWHERE, option, "often", naming=option)
    return refused(world, *ANYWHERE, "--quic-retry", "sometimes", naming="--quic-retry")


@case("workers-missing-certificate")
def missing_certificate(world):
    """Before a worker is started."""
    return refused(world, *ANYWHERE, "--certfile", "/nonexistent/cert.pem", "--keyfile", world.key)


# Files that are left from before


@case("workers-unix-socket-in-use")
def unix_socket_in_use(world):
    path = world.path("used.socket")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        return refused(world, *WORKERS, "--bind", f"unix:{path}")


@case("workers-no-socket-is-replaced")
def not_a_socket(world):
    path = world.path("a-file")
    with open(path, "w") as file:
        file.write("precious\n")
    told = refused(world, *WORKERS, "--bind", f"unix:{path}", naming="File exists")
    refused(world, *ANYWHERE, "--pid-file", path, naming="--pid")
    with open(path) as file:
        same(file.read(), "precious\n", "the file")
    return told


@case("workers-pid-file")
def pid_file(world):
    """Held while the server runs, whatever it says; then it goes."""
    path = world.path("apus.pid")
    with open(path, "w") as stale:
        stale.write("4194304\n")
    with supervised(world, "hello", 2, "--pid-file", path) as server:
        with open(path) as file:
            same(file.read().strip(), str(server.process.pid), "the PID file")
        told = refused(world, *ANYWHERE, "--pid-file", path, naming=str(server.process.pid))
        with open(path) as file:
            same(file.read().strip(), str(server.process.pid), "the PID file after a second server")
    expect(not os.path.exists(path), "the PID file is still there")
    refused(world, *ANYWHERE, "--pid-file", "/nonexistent/apus.pid")
    return told


# --check


@case("workers-check")
def check(world):
    """Says what would be wrong, and starts nothing: a port in use does not matter."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = ("--bind", f"127.0.0.1:{taken.getsockname()[1]}")
        good = started(world, "hello", "--check", "--workers", "2", *bind, *world.tls_options)
        same(good.returncode, 0, f"the exit code of a good configuration ({good.stderr.strip()[:200]})")
    refused(world, "--check", *ANYWHERE, "--certfile", "/nonexistent/cert.pem")
    refused(world, "--check", "--workers", "0")
    return refused(world, "--check", *ANYWHERE, "--user", "no-such-user")
