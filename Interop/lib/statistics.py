"""Whether counts are as even as chance makes them."""

import math
from collections import Counter

from .report import expect

RISK = 1e-6
"""How often chance alone may fail a case."""


def exceeded(statistic, degrees):
    """The probability that a chi-squared variable is larger: the upper regularised gamma function, by its recurrence."""
    half, order = statistic / 2, degrees % 2 / 2
    if not half:
        return 1.0
    total = math.erfc(math.sqrt(half)) if degrees % 2 else 0.0
    while order < degrees / 2:
        # The next term of the recurrence Q(a + 1, x) = Q(a, x) + x^a e^-x / gamma(a + 1).
        total += math.exp(order * math.log(half) - half - math.lgamma(order + 1))
        order += 1
    return total


def evenly(found, places):
    """Each of the places was taken as often as the others, as far as chance goes; gives how often."""
    counts = Counter(found)
    strangers = set(counts) - set(places)
    expect(not strangers, f"{strangers} are none of {places}")
    each = len(found) / len(places)
    statistic = sum((counts[place] - each) ** 2 / each for place in places)
    chance = exceeded(statistic, len(places) - 1)
    shares = "/".join(str(counts[place]) for place in places)
    expect(chance > RISK, f"{shares} are not even: chi squared {statistic:.1f}, of which the chance is {chance:.0g}")
    return f"{shares}, chi squared {statistic:.1f}"
