"""Title writing as one-step gymnasium environments: see an item, write its title, get a click or its probability.

`TitleEnv` speaks text; `FieldTitles` around it speaks numbers, for agents such as those of stable-baselines3.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reward.arrays import Float32Array, IntArray
from reward.items import Item
from reward.text import is_cjk

from .errors import EnvError
from .market import Market

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ImportError("envs.gym needs the extra [gym]. Install it with: pip install 'rlopt[gym]'") from error

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
    `sample` draws from. The step's info holds ``item_id``, ``title`` and the ``value``.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (gymnasium declares it so)

    def __init__(self, items: Sequence[Item], value: Callable[[Item, str], float], *, sampled: bool = True) -> None:
        if not items:
            raise EnvError("items must hold at least one item. Got none.")
        self.items = tuple(items)
        self.item = self.items[0]
        self._value = value
        self._sampled = sampled
        texts = [item.to_json() for item in self.items]
        alphabet = "".join(sorted(set().union(*texts, *(item.text() for item in self.items))))
        self.observation_space = spaces.Text(max(map(len, texts)), min_length=1, charset=alphabet)
        self.action_space = spaces.Text(MAX_TITLE_CHARS, min_length=0, charset=alphabet)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Draw the next item; returns it as JSON (`Item.from_json` reads it) and its id."""
        super().reset(seed=seed, options=options)
        self.item = self.items[self.np_random.integers(len(self.items))]
        return self.item.to_json(), {"item_id": self.item.item_id}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Reward of the title ``action`` for the current item; the episode ends."""
        value = self._value(self.item, action)
        reward = float(self.np_random.random() < value) if self._sampled else value
        info = {"item_id": self.item.item_id, "title": action, "value": value}
        return self.item.to_json(), reward, True, False, info


class FieldTitles(gymnasium.Env[Float32Array, IntArray]):
    """A title is the values of a few fields, one after the other; the agent says which, place by place.

    An observation has a 1 for each of `fields` that the item has, else 0, shape (n_fields,). An action has a number for
    each place, shape (places,): 0 leaves it empty, k writes the item's first value of the k-th field. A field that the
    item lacks, or that stands in the title already, writes nothing.

    Parameters
    ----------
    titles
        The environment of texts.
    places
        The most values a title can have.

    Attributes
    ----------
    fields
        Names of all fields of the items, sorted.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, titles: TitleEnv, places: int = 6) -> None:
        self.titles = titles
        self.fields = tuple(sorted({name for item in titles.items for name in item.fields}))
        self.observation_space = spaces.Box(0.0, 1.0, (len(self.fields),), np.float32)
        self.action_space = spaces.MultiDiscrete([len(self.fields) + 1] * places)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Draw the next item; returns which fields it has, and its id."""
        super().reset(seed=seed, options=options)
        _, info = self.titles.reset(seed=seed)
        return self._seen(), info

    def step(self, action: IntArray) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Reward of the title that ``action`` writes for the current item; the episode ends."""
        _, reward, terminated, truncated, info = self.titles.step(self.write(self.titles.item, action))
        return self._seen(), reward, terminated, truncated, info

    def write(self, item: Item, action: IntArray) -> str:
        """The title of ``item`` that ``action`` means."""
        named = dict.fromkeys(self.fields[place - 1] for place in action if place)
        values = [item.fields[name][0] for name in named if name in item.fields]
        return ("" if is_cjk(item.text()) else " ").join(values)

    def _seen(self) -> Float32Array:
        has = self.titles.item.fields
        return np.array([name in has for name in self.fields], dtype=np.float32)


def market_env(market: Market, *, sampled: bool = True) -> TitleEnv:
    """Environment over all items of ``market``; its reward is a simulated click, or the true click probability."""
    return TitleEnv(market.items, market.true_value, sampled=sampled)
