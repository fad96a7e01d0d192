"""One WebSocket, opened over the version of HTTP that is asked for, and driven line by line.

Run with the interpreter that Interop/fetch-python-clients prints: websocket.py URL '{"http": "2", ...}'. It prints the answer
to the opening as a line of JSON; then for each line `{"do": NAME, ...}` that it reads, what came of it.
"""

import asyncio
import hashlib
import json
import os
import sys
from urllib.parse import urlsplit

from ws_answers import told
from ws_http1 import Http1Client
from ws_http2 import Http2Tunnel
from ws_http3 import Http3Tunnel
from ws_tunnel import TunnelClient


def client_for(http):
    if http == "1.1":
        return Http1Client()
    return TunnelClient(Http2Tunnel() if http == "2" else Http3Tunnel())


def described(message):
    """Text as it is; of bytes the number and the hash."""
    if isinstance(message, str):
        return {"text": message} if len(message) < 10_000 else digest(message.encode()) | {"kind": "text"}
    return digest(message) | {"kind": "binary"}


def digest(data):
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def payload(what):
    """The message that a command describes: text, letters that compress, or bytes that do not."""
    if "text" in what:
        return what["text"]
    if "letters" in what:
        return "abcdefgh" * (what["letters"] // 8)
    return os.urandom(what["size"])


async def send(client, what):
    message = payload(what)
    await client.send(message)
    return described(message)


async def receive(client, what):
    kind, value = await client.receive()
    return described(value) if kind == "message" else {"close": value[0], "reason": value[1]}


async def flood(client, what):
    """Sends messages without end, until the peer takes no more for a second."""
    sent = 0
    message = os.urandom(what["size"])
    try:
        while sent < what["most"]:
            await asyncio.wait_for(client.send(message), 1)
            sent += len(message)
    except TimeoutError:
        pass
    return {"sent": sent}


async def ping(client, what):
    await client.ping(what.get("payload", "").encode())
    return {"pong": True}


async def close(client, what):
    await client.close(what.get("code", 1000), what.get("reason", ""))
    return {}


async def raw(client, what):
    await client.write(bytes.fromhex(what["hex"]))
    return {}


async def end(client, what):
    """Ends the tunnel without a Close frame: by a FIN, or by a reset."""
    await client.end(what["how"])
    return {}


async def ending(client, what):
    """How the tunnel ended: in order (fin), by a reset, or with the connection (lost)."""
    return {"ending": await client.ending()}


async def get(client, what):
    """A request beside the WebSocket, on the same connection."""
    return {"status": await client.get(what["path"])}


COMMANDS = {each.__name__: each for each in (send, receive, flood, ping, close, raw, end, ending, get)}


async def run(url, options):
    client = client_for(options["http"])
    await told(client.open(urlsplit(url), options), 10)
    while line := await asyncio.to_thread(sys.stdin.readline):
        what = json.loads(line)
        await told(COMMANDS[what["do"]](client, what), what.get("timeout", 20))
    await client.leave()


def main():
    asyncio.run(run(sys.argv[1], json.loads(sys.argv[2])))


if __name__ == "__main__":
    main()
