"""Requests one after the other on a connection that is kept, on HTTP/1.1."""

import asyncio
import ssl

from load_connection import Connection, process_in


class Http1Connection(Connection):
    async def open(self, path):
        port = self.ports["https" if self.secure else "http"]
        self.head = f" HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n"
        context = tls_context("http/1.1") if self.secure else None
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)

    async def ask(self, path):
        if self.reader.at_eof():
            # It was closed while it was idle, and nothing had been said: that alone fails no request.
            self.note(ended="closed while idle")
            return None
        self.writer.write(f"GET {path}{self.head}".encode())
        try:
            status, fields = await self.read_head()
            body = await self.read_body(fields)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            self.note(ended="closed in a request")
            raise ConnectionError(f"request {self.asked}: {error}") from None
        if fields.get("connection", "").lower() == "close":
            self.note(told="connection: close")
        return process_in(status, body)

    async def read_head(self):
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), fields

    async def read_body(self, fields):
        if "content-length" in fields:
            return await self.reader.readexactly(int(fields["content-length"]))
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).strip(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return body

    async def close(self):
        self.writer.transport.abort()


class Http1TLSConnection(Http1Connection):
    secure = True


def tls_context(protocol):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    return context
