"""Connections that each send a small message and wait for its echo, again and again; prints as JSON what came of it.

ws_generator.py PORT CONNECTIONS SECONDS
"""

import json
import os
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bench.ws_frames import TEXT, accepted, frame, upgrade  # noqa: E402

MESSAGE = b"Hello, World!"
ECHO = bytes([0x80 | TEXT, len(MESSAGE)]) + MESSAGE


def connected(port):
    connection = socket.create_connection(("127.0.0.1", port), 5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(upgrade("/", port))
    accepted(connection)
    return connection


def exchange(connections, seconds):
    """Gives the nanoseconds that each echo took."""
    request = frame(TEXT, MESSAGE)
    by_number = {each.fileno(): each for each in connections}
    sent, missing, times = {}, {}, []
    now, size = time.perf_counter_ns, len(ECHO)
    with select.epoll() as poll:
        for number, connection in by_number.items():
            connection.setblocking(False)
            poll.register(number, select.EPOLLIN)
            sent[number], missing[number] = now(), b""
            connection.send(request)
        end = now() + int(seconds * 1e9)
        while now() < end:
            for number, _ in poll.poll(1):
                connection = by_number[number]
                data = missing[number] + connection.recv(4096)
                if data != ECHO:
                    if len(data) >= size or not ECHO.startswith(data) or not data:
                        raise ConnectionError(f"not an echo: {data!r}")
                    missing[number] = data
                    continue
                moment = now()
                times.append(moment - sent[number])
                sent[number], missing[number] = moment, b""
                connection.send(request)
    return times


def main():
    port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    connections = [connected(port) for _ in range(count)]
    began = time.monotonic()
    times = sorted(exchange(connections, seconds))
    elapsed = time.monotonic() - began
    percentiles = {name: times[len(times) * each // 100] / 1e6 for name, each in (("p50", 50), ("p99", 99))}
    print(json.dumps({"messages": len(times), "seconds": elapsed, **percentiles}))


if __name__ == "__main__":
    main()
