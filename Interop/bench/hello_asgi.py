"""The application that Python's servers run: 13 bytes for a request, and its own messages for a WebSocket."""

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
}
BODY = {"type": "http.response.body", "body": b"Hello, World!"}


async def application(scope, receive, send):
    if scope["type"] == "http":
        await send(START)
        await send(BODY)
    elif scope["type"] == "websocket":
        await echo(receive, send)


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
