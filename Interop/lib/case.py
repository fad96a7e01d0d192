"""Cases are functions; a decorator names them and multiplies them by the protocols they are stated for."""

import fnmatch
from dataclasses import dataclass
from typing import Callable

registry = []


@dataclass(frozen=True)
class Case:
    name: str
    run: Callable
    limit: int
    full_only: bool

    def chosen(self, patterns):
        return not patterns or any(fnmatch.fnmatch(self.name, f"*{pattern}*") for pattern in patterns)


def case(name, protocols=None, *, limit=60, full_only=False):
    """Registers `function(world)`, or `function(world, protocol)` once for each of the protocols."""

    def register(function):
        if protocols is None:
            registry.append(Case(name, function, limit, full_only))
        for protocol in protocols or ():
            run = lambda world, protocol=protocol: function(world, protocol)
            registry.append(Case(f"{name}/{protocol.name}", run, limit, full_only))
        return function

    return register
