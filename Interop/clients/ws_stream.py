"""A stream of a connection that has many."""

import asyncio


class Stream:
    def __init__(self):
        self.answer = asyncio.get_running_loop().create_future()
        self.data = asyncio.Queue()
        self.ending = None
        """fin, the code of a reset, or lost."""

    def finish(self, how):
        self.ending = self.ending or how
        self.data.put_nowait(None)
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(f"the stream ended without an answer: {how}"))
