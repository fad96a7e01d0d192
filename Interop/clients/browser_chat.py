"""Two pages of a browser talk to each other over the chat that `apus serve ws-chat` is.

Run with the interpreter that Interop/fetch-python-clients prints: browser_chat.py '{"browser": "chromium", "url": ...}'. It
prints as JSON what each page shows.
"""

import asyncio
import json
import sys

from chromium import Chromium
from firefox import Firefox

CONNECTED = "HTTP/"
"""The page says which version of HTTP its WebSocket came over."""
SHOWN = "document.body?.innerText ?? ''"


async def shows(page, text, seconds=10):
    """Waits until a page shows a text; gives all that it shows."""
    deadline = asyncio.get_running_loop().time() + seconds
    while text not in (shown := await page.evaluate(SHOWN)):
        if asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"the page does not show '{text}' but '{shown[-300:]}'")
        await asyncio.sleep(0.05)
    return shown


async def say(page, text):
    """As a user does: into the field for the message, and off."""
    field = f"document.getElementById('text').value = {json.dumps(text)}"
    await page.evaluate(f"{field}, document.getElementById('send').click(), true")


async def chat(browser, what):
    # The first page only makes the connection that the WebSockets of the others may use.
    for _ in range(what["visits"]):
        await browser.open(what["url"])
        await asyncio.sleep(1)
    pages = [await browser.open(what["url"]) for _ in range(2)]
    for page in pages:
        await shows(page, CONNECTED)
    for number, page in enumerate(pages):
        text = f"Grüße von Seite {number + 1} 🐦"
        await say(page, text)
        for each in pages:
            await shows(each, text)
    shown = [await page.evaluate(SHOWN) for page in pages]
    hops = [await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol") for page in pages]
    for number, page in enumerate(pages):
        await page.screenshot(f"{what['folder']}/page-{number + 1}.png")
    return {"shown": shown, "pages_over": hops}


async def run(what):
    kind = Chromium if what["browser"] == "chromium" else Firefox
    browser = kind(what["program"], what["folder"], what["more"])
    try:
        await asyncio.wait_for(browser.start(), 30)
        answer = await asyncio.wait_for(chat(browser, what), 40)
        await asyncio.wait_for(browser.stop(), 20)
        return answer
    finally:
        browser.kill()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(json.loads(sys.argv[1])))))
