"""Attacks of the user's own: a YAML file of patterns, each with a name."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from reward.items import Item
from reward.yaml_files import read_yaml
from rlopt.errors import ConfigError
from rlopt.stages.probe.faults import Others

Attack = Callable[[Item, str, np.random.Generator], str | None]

_PLACE = re.compile(r"\{([^{}]+)\}")
_MOST = 100
TITLE, OTHER = "title", "other"


def read_attacks(path: str | Path, others: Others, taken: set[str]) -> dict[str, Attack]:
    """Name -> attack of a file such as ``free gift: "{title} + free {category}"``.

    ``{title}`` is a logged title of the item, ``{other}`` one of another item, and ``{FIELD}`` the first value of one
    of the item's fields; a title of which a part is not known is left out.

    Parameters
    ----------
    path
        The YAML file.
    others
        Titles of other items.
    taken
        Names of rlopt's own attacks.

    Raises
    ------
    ConfigError
        If the file cannot be read, or holds anything else; the message names what.
    """
    patterns = _read(Path(path))
    if clash := sorted(taken & set(patterns)):
        raise ConfigError(f"{path} names an attack {clash[0]!r}, which rlopt has already. Give it another name.")
    return {name: _attack(pattern, others) for name, pattern in patterns.items()}


def _read(path: Path) -> dict[str, str]:
    found: Any = read_yaml(path, "file of attacks", ConfigError)
    if not isinstance(found, dict) or not found:
        raise ConfigError(f'{path} must hold a line an attack, such as free gift: "{{title}} + free gift".')
    if len(found) > _MOST:
        raise ConfigError(f"{path} holds {len(found)} attacks, at most {_MOST} are tried.")
    for name, pattern in found.items():
        if not isinstance(name, str) or not name.strip() or not isinstance(pattern, str) or not pattern.strip():
            raise ConfigError(f"{path}: each attack is a name and a text. Got {name!r:.60}: {pattern!r:.60}.")
    return {name.strip(): pattern for name, pattern in found.items()}


def _attack(pattern: str, others: Others) -> Attack:
    def attack(item: Item, title: str, rng: np.random.Generator) -> str | None:
        known: dict[str, str | None] = {name: values[0] for name, values in item.fields.items() if values}
        known[TITLE] = title
        if f"{{{OTHER}}}" in pattern:
            known[OTHER] = others.title(item, title, rng)
        if any(known.get(name) is None for name in _PLACE.findall(pattern)):
            return None
        return _PLACE.sub(lambda place: str(known[place[1]]), pattern)

    return attack
