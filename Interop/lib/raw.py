"""Bytes on a socket, for what no well-behaved client sends."""

import socket
import ssl


def connect(port, timeout=5):
    return socket.create_connection(("127.0.0.1", port), timeout)


def tls_context(world, protocols=(), **settings):
    context = ssl.create_default_context(cafile=world.certificate)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    for name, value in settings.items():
        setattr(context, name, value)
    return context


def connect_tls(world, port, protocols=(), timeout=5, **settings):
    context = tls_context(world, protocols, **settings)
    return context.wrap_socket(connect(port, timeout), server_hostname="localhost")


def read_to_end(connection, limit=1 << 20):
    """What comes until the peer closes, resets, or has been silent for the socket's timeout.

    Gives the bytes, and whether the end came."""
    received = b""
    while len(received) < limit:
        try:
            piece = connection.recv(65536)
        except (ConnectionError, ssl.SSLError):
            return received, True
        except TimeoutError:
            return received, False
        if not piece:
            return received, True
        received += piece
    return received, False


def ask(connection, request):
    """Sends as much of it as the peer lets, then reads to the end."""
    try:
        connection.sendall(request)
    except (ConnectionError, ssl.SSLError):
        pass
    return read_to_end(connection)
