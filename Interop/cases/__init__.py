"""Importing this registers every case, in the order in which they run."""

from . import (  # noqa: F401
    requests,
    fields,
    events,
    files,
    second_client,
    listening,
    alt_svc,
    hostile,
    leaving,
    misbehaving,
    shutdown,
    flow,
    websocket,
    websocket_endings,
    websocket_attacks,
    websocket_patience,
    autobahn,
    browsers,
    endurance,
    command_line,
)
