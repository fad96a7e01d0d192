"""Many fields, and too much of them."""

import json

from lib.case import case
from lib.curl import curl
from lib.protocols import EVERY
from lib.report import expect, same


def field_arguments(count):
    return [word for n in range(count) for word in ("-H", f"x-field-{n}: value {n}")]


@case("300-fields", EVERY)
def three_hundred_fields(world, protocol):
    reply = curl(world, protocol, *field_arguments(300), world.server("scope").url(protocol))
    told = [tuple(pair) for pair in json.loads(reply.body)["headers"] if pair[0].lower().startswith("x-field-")]
    same(len(told), 300, "the number of fields")
    expect(told == [(f"x-field-{n}", f"value {n}") for n in range(300)], "the fields differ or are out of order")


def state_refusal(name, arguments):
    @case(name, EVERY)
    def refused(world, protocol):
        server = world.server("hello")
        curl(world, protocol, *arguments, server.url(protocol), status=431)
        curl(world, protocol, server.url(protocol))


state_refusal("600-fields-are-refused", field_arguments(600))
state_refusal("60KB-field-is-refused", ["-H", f"x-large: {'v' * 60_000}"])
state_refusal("33KiB-of-fields-are-refused", [word for n in range(33) for word in ("-H", f"x-{n:02}: {'v' * 1020}")])


@case("30KB-field-is-taken", EVERY)
def large_field_is_taken(world, protocol):
    curl(world, protocol, "-H", f"x-large: {'v' * 30_000}", world.server("hello").url(protocol))


@case("long-target-is-refused", EVERY)
def long_target(world, protocol):
    reply = curl(world, protocol, world.server("hello").url(protocol, "/" + "a" * 60_000), status=None)
    expect(reply.status in (414, 431), f"the status is {reply.status}, not 414 or 431")
