"""Connections of HTTP/3, one after the other: which process each reaches, and what it resumes, shows or has to prove.

quic_attempts.py PORT COUNT KIND prints as JSON a list with `process`, `resumed`, `retries` and `giver`, the process that gave
the ticket or the token which the attempt has shown. KIND is `new`, or `ticket` or `token` to show what an earlier one was given.
"""

import asyncio
import json
import sys
from collections import deque

from load_http3 import Http3Connection

FIRST = 12
"""Connections that show nothing, so that what is shown later comes from many workers."""
WAIT = 3
"""Seconds for a ticket or a token to come."""


class Attempt(Http3Connection):
    def __init__(self, port, kind, shown):
        super().__init__({"h3": port})
        self.kind, self.given = kind, asyncio.get_running_loop().create_future()
        self.shown = {{"ticket": "session_ticket"}.get(kind, kind): shown} if shown else {}
        handler = {"ticket": "session_ticket_handler", "token": "token_handler"}.get(kind)
        self.handlers = {handler: self.take} if handler else {}

    def take(self, value):
        if not self.given.done():
            self.given.set_result(value)

    async def run(self):
        await self.open("/process")
        self.process = await self.ask("/process")
        given = await asyncio.wait_for(self.given, WAIT) if self.kind != "new" else None
        quic = self.protocol._quic
        facts = {"process": self.process, "resumed": quic.tls.session_resumed, "retries": quic._retry_count}
        await self.close()
        return facts, given


async def main(port, count, kind):
    told, purse = [], deque()
    for number in range(count if kind == "new" else FIRST + count):
        shown, giver = purse.popleft() if number >= FIRST and kind != "new" else (None, None)
        facts, given = await asyncio.wait_for(Attempt(port, kind, shown).run(), 10)
        purse.append((given, facts["process"]))
        told.append(facts | {"giver": giver})
    print(json.dumps(told))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
