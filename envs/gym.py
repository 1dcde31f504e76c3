"""Title writing as a one-step gymnasium environment: see an item, write its title, get a click or its probability."""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
from gymnasium import spaces

from reward.items import Item

from .errors import EnvError
from .market import Market

MAX_TITLE_CHARS = 300


class TitleEnv(gymnasium.Env[str, str]):
    """One episode is one item: ``reset`` shows it as JSON text, ``step(title)`` ends the episode with its reward.

    Parameters
    ----------
    items
        Items to draw from, uniformly.
    value
        (item, title) -> chance of a click in [0, 1].
    sampled
        True gives a click (0 or 1) drawn with that chance, False the chance itself.

    Raises
    ------
    EnvError
        If there are no items.

    Notes
    -----
    ``step`` takes any text, of any length and alphabet; `action_space` (`gymnasium.spaces.Text`) only says what
    `sample` draws from. The step's info holds ``item_id`` and the ``value``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (gymnasium declares it so)

    def __init__(self, items: Sequence[Item], value: Callable[[Item, str], float], *, sampled: bool = True) -> None:
        if not items:
            raise EnvError("items must hold at least one item. Got none.")
        self._items = tuple(items)
        self._value = value
        self._sampled = sampled
        self._item = self._items[0]
        texts = [item.to_json() for item in self._items]
        alphabet = "".join(sorted(set().union(*texts, *(item.text() for item in self._items))))
        self.observation_space = spaces.Text(max(map(len, texts)), min_length=1, charset=alphabet)
        self.action_space = spaces.Text(MAX_TITLE_CHARS, min_length=0, charset=alphabet)

    @property
    def item(self) -> Item:
        """The item of this episode."""
        return self._item

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Draw the next item; returns it as JSON (`Item.from_json` reads it) and its id."""
        super().reset(seed=seed, options=options)
        self._item = self._items[self.np_random.integers(len(self._items))]
        return self._item.to_json(), {"item_id": self._item.item_id}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Reward of the title ``action`` for the current item; the episode ends."""
        value = self._value(self._item, action)
        reward = float(self.np_random.random() < value) if self._sampled else value
        return self._item.to_json(), reward, True, False, {"item_id": self._item.item_id, "value": value}


def market_env(market: Market, *, sampled: bool = True) -> TitleEnv:
    """Environment over all items of ``market``; its reward is a simulated click, or the true click probability."""
    return TitleEnv(market.items, market.true_value, sampled=sampled)
