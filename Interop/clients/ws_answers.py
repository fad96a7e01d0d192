"""How a client answers the case that commands it: a line of JSON for each command."""

import asyncio
import json


def say(answer):
    print(json.dumps(answer), flush=True)


async def told(work, seconds):
    """Says what came of it; a failure too."""
    try:
        say(await asyncio.wait_for(work, seconds))
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
