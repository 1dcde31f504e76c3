"""One seed for a whole market: every part of it draws from a stream of its own, so that no part disturbs another."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Purpose of a stream of random numbers."""

    ITEM = 0
    APPEAL = 1
    TITLES = 2
    POLICY = 3
    TASTE = 4
    HABITS = 5
    LOGS = 6


def generator(seed: int, locale: str, stream: Stream, index: int = 0) -> np.random.Generator:
    """Generator of one ``stream``; ``index`` gives each item its own, so item 7 is the same in a shop of any size."""
    locale_key = int.from_bytes(locale.encode(), "big")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(locale_key, int(stream), index)))
