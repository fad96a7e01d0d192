"""The few frames of HTTP/2 that open WebSockets in great number (RFC 9113, RFC 8441), without a library's memory."""

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
ACK, END_HEADERS = 1, 4
STATUS_200 = 0x88
"""RFC 7541 appendix A: index 8."""


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def frames(data):
    """Those that are whole in it: kind, flags, stream, payload."""
    while len(data) >= 9:
        end = 9 + int.from_bytes(data[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", data[3:9])
        yield kind, flags, stream, data[9:end]
        data = data[end:]


def literal(name, value):
    """RFC 7541 section 6.2.2: without indexing, with a new name."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


def opening():
    return PREFACE + frame(SETTINGS, 0, 0)


def next_frame(connection):
    head = exactly(connection, 9)
    kind, flags, stream = struct.unpack(">BBI", head[3:])
    return kind, flags, stream, exactly(connection, int.from_bytes(head[:3], "big"))


def exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("the connection has ended")
        data += piece
    return data


def accept_settings(connection):
    kind, _, _, _ = next_frame(connection)
    if kind != SETTINGS:
        raise ConnectionError(f"the first frame is of type {kind}")
    connection.sendall(frame(SETTINGS, ACK, 0))


def open_stream(connection, stream, authority):
    head = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/")]
    head += [(":authority", authority), ("sec-websocket-version", "13")]
    block = b"".join(literal(name, value) for name, value in head)
    connection.sendall(frame(HEADERS, END_HEADERS, stream, block))
    while True:
        kind, _, number, payload = next_frame(connection)
        if kind == HEADERS and number == stream:
            break
    if payload[:1] != bytes([STATUS_200]) and payload[1:2] != bytes([STATUS_200]):
        raise ConnectionError(f"the opening was refused: {payload[:40]!r}")


def data_frames(data):
    for kind, _, stream, payload in frames(data):
        if kind == DATA:
            yield stream, payload


def pong_in(stream, payload):
    return frame(DATA, 0, stream, payload)
