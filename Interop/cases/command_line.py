"""The command itself: what goes wrong at the start is one sentence and exit code 2."""

import os
import socket
import subprocess

from lib.case import case
from lib.curl import curl
from lib.protocols import H1, H2
from lib.report import expect, same


def run(world, *arguments, seconds=10):
    environment = {key: value for key, value in os.environ.items() if not key.startswith("APUS_")}
    command = [world.apus, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)


def refuses(world, *arguments):
    done = run(world, "serve", *arguments)
    same(done.returncode, 2, f"the exit code of {' '.join(arguments)}")
    told = [line for line in done.stderr.splitlines() if line.strip()]
    expect(told, "nothing is said on standard error")
    return told[0]


@case("help")
def help_text(world):
    done = run(world, "serve", "--help")
    same(done.returncode, 0, "the exit code")
    for option in ("--bind", "--insecure-bind", "--certfile", "--keyfile", "--graceful-timeout", "--access-log"):
        expect(option in done.stdout, f"the help does not name {option}")


@case("port-in-use")
def port_in_use(world):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return refuses(world, "hello", "--bind", f"127.0.0.1:{taken.getsockname()[1]}")


@case("unknown-application")
def unknown_application(world):
    return refuses(world, "no-such-application", "--bind", "127.0.0.1:0")


@case("missing-certificate-file")
def missing_file(world):
    return refuses(world, "hello", "--certfile", "/nonexistent/cert.pem", "--keyfile", world.key)


@case("key-of-another-certificate")
def wrong_key(world):
    other = world.path("other-key.pem")
    make = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", other]
    subprocess.run(make, check=True, capture_output=True)
    return refuses(world, "hello", "--bind", "127.0.0.1:0", "--certfile", world.certificate, "--keyfile", other)


@case("encrypted-key")
def encrypted_key(world):
    locked = world.path("locked-key.pem")
    lock = ["openssl", "pkey", "-in", world.key, "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(lock, check=True, capture_output=True)
    files = ("--certfile", world.certificate, "--keyfile", locked)
    refusal = refuses(world, "hello", "--bind", "127.0.0.1:0", *files, "--keyfile-password", "wrong")
    # The later --keyfile takes the place of the usual one.
    with world.fresh("hello", "--keyfile", locked, "--keyfile-password", "secret") as server:
        curl(world, H2, server.url(H2))
    return refusal


@case("http3-without-a-certificate")
def http3_without_certificate(world):
    return refuses(world, "hello", "--bind", "127.0.0.1:0", "--http", "3")


@case("access-log-is-on")
def access_log(world):
    with world.fresh("hello", "--access-log") as server:
        for protocol in (H1, H2):
            curl(world, protocol, server.url(protocol, f"/seen-over-{protocol.name}"))
        for protocol in (H1, H2):
            expect(f"/seen-over-{protocol.name}" in server.output(), f"no line about the {protocol.name} request")


@case("settings-in-the-environment")
def environment(world):
    bind = f"unix:{world.path('environment.socket')}"
    os.environ["APUS_BIND"] = bind
    try:
        command = [world.apus, "serve", "hello"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                line = next((line for line in process.stdout if "environment.socket" in line), None)
                expect(line, "the server does not listen where APUS_BIND says")
                curl(world, H1, "--unix-socket", bind.removeprefix("unix:"), "http://localhost/")
            finally:
                process.terminate()
            same(process.wait(10), 0, "the exit code")
    finally:
        del os.environ["APUS_BIND"]
