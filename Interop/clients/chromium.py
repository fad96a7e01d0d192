"""Chromium without a window, driven over its DevTools protocol."""

import asyncio
import base64
import itertools
import json
import os
import subprocess
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

USUAL = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
    # Nothing but this machine, and by that address.
    "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND",
    "--ignore-certificate-errors",
    "--window-size=700,500",
    "--remote-debugging-port=0",
)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session

    async def evaluate(self, expression):
        """The value of an expression of JavaScript; a promise's own is waited for."""
        parameters = {"expression": expression, "awaitPromise": True, "returnByValue": True}
        answer = await self.browser.command("Runtime.evaluate", parameters, self.session)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"])[:300])
        return answer["result"].get("value")

    async def screenshot(self, path):
        answer = await self.browser.command("Page.captureScreenshot", {"format": "png"}, self.session)
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))


class Chromium:
    def __init__(self, program, folder, flags):
        self.program, self.folder = program, folder
        self.flags = [*USUAL, f"--user-data-dir={folder}/profile", f"--log-net-log={folder}/net-log.json", *flags]
        self.numbers = itertools.count(1)
        self.answers = {}

    async def start(self):
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(
                [self.program, *self.flags], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder
            )
        self.devtools = await connect(await self.address(), max_size=None, proxy=None)
        self.reading = asyncio.ensure_future(self.read())

    async def address(self):
        """Chromium writes down which port it has chosen."""
        path = f"{self.folder}/profile/DevToolsActivePort"
        while not os.path.exists(path):
            if self.process.poll() is not None:
                raise RuntimeError(f"Chromium ended with exit code {self.process.returncode}")
            await asyncio.sleep(0.05)
        with open(path) as file:
            port = file.readline().strip()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/version") as answer:
            return json.load(answer)["webSocketDebuggerUrl"]

    async def read(self):
        try:
            async for text in self.devtools:
                message = json.loads(text)
                if "id" in message:
                    self.answers.pop(message["id"]).set_result(message)
        except ConnectionClosed:
            pass  # It leaves without a Close frame.

    async def command(self, method, parameters=None, session=None):
        number = next(self.numbers)
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.devtools.send(json.dumps(message))
        answer = await self.answers[number]
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    async def open(self, url):
        """A tab, or where there is no window a page of its own, at an address."""
        target = await self.command("Target.createTarget", {"url": url})
        attached = await self.command("Target.attachToTarget", {"targetId": target["targetId"], "flatten": True})
        return Page(self, attached["sessionId"])

    async def stop(self):
        """In order, so that what it logs is whole."""
        closing = asyncio.ensure_future(self.command("Browser.close"))
        await asyncio.wait([closing, self.reading], return_when=asyncio.FIRST_COMPLETED)
        closing.cancel()
        await asyncio.to_thread(self.process.wait, 15)

    def kill(self):
        self.process.kill()
        self.process.wait()
