"""Frames of a WebSocket client, made before they are needed (RFC 6455 section 5.2)."""

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
TEXT, PING, PONG = 0x1, 0x9, 0xA
COMPRESSED = 0x40
"""RSV1 (RFC 7692 section 6)."""


def frame(opcode, payload, flags=0):
    """A whole message of less than 126 bytes. The mask is zero, which the server cannot leave out of its reckoning."""
    return bytes([0x80 | flags | opcode, 0x80 | len(payload)]) + bytes(4) + payload


def upgrade(path, port, *fields):
    lines = [
        f"GET {path} HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "upgrade: websocket",
        "connection: Upgrade",
        "sec-websocket-version: 13",
        f"sec-websocket-key: {KEY}",
        *fields,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def accepted(connection):
    """Reads the answer to the upgrade, behind which nothing may come yet; gives its head."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionError(f"the connection ended behind {head!r}")
        head += piece
    if not head.startswith(b"HTTP/1.1 101"):
        raise ConnectionError(f"the answer to the upgrade is {head[:100]!r}")
    return head
