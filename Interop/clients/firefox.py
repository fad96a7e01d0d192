"""Firefox without a window, driven over WebDriver BiDi."""

import asyncio
import base64
import itertools
import json
import os
import re
import subprocess

from websockets.asyncio.client import connect

LISTENS = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


class Page:
    def __init__(self, browser, context):
        self.browser, self.context = browser, context

    async def evaluate(self, expression):
        """The value of an expression of JavaScript, as JSON has it."""
        answer = await self.browser.command(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(JSON.stringify)",
            target={"context": self.context},
            awaitPromise=True,
        )
        if answer["type"] != "success":
            raise RuntimeError(str(answer["exceptionDetails"])[:300])
        text = answer["result"].get("value")
        return json.loads(text) if text else None

    async def screenshot(self, path):
        answer = await self.browser.command("browsingContext.captureScreenshot", context=self.context)
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))


class Firefox:
    def __init__(self, program, folder, modules):
        """`modules` are those whose log it writes, as MOZ_LOG has them."""
        self.program, self.folder = program, folder
        self.environment = {
            **os.environ,
            "HOME": folder,
            "MOZ_LOG": f"timestamp,sync,{modules}",
            "MOZ_LOG_FILE": f"{folder}/moz",
        }
        self.numbers = itertools.count(1)
        self.answers = {}

    async def start(self):
        profile = f"{self.folder}/profile"
        os.makedirs(profile)
        command = [self.program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, cwd=self.folder
            )
        self.driver = await connect(await self.address(), max_size=None, proxy=None)
        self.reading = asyncio.ensure_future(self.read())
        await self.command("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})

    async def address(self):
        while True:
            with open(f"{self.folder}/log", errors="replace") as log:
                found = LISTENS.search(log.read())
            if found:
                return f"{found[1]}/session"
            if self.process.poll() is not None:
                raise RuntimeError(f"Firefox ended with exit code {self.process.returncode}")
            await asyncio.sleep(0.05)

    async def read(self):
        async for text in self.driver:
            message = json.loads(text)
            if message.get("id") in self.answers:
                self.answers.pop(message["id"]).set_result(message)

    async def command(self, method, **parameters):
        number = next(self.numbers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.driver.send(json.dumps({"id": number, "method": method, "params": parameters}))
        answer = await self.answers[number]
        if answer["type"] == "error":
            raise RuntimeError(f"{method}: {answer['message']}")
        return answer["result"]

    async def open(self, url):
        context = (await self.command("browsingContext.create", type="tab"))["context"]
        await self.command("browsingContext.navigate", context=context, url=url, wait="complete")
        return Page(self, context)

    async def stop(self):
        await self.command("browser.close")
        await asyncio.to_thread(self.process.wait, 15)

    def kill(self):
        self.process.kill()
        self.process.wait()
