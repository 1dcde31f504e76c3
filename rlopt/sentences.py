"""Sentences of a room in one language: a dictionary in the room's ``lang/*.yaml``."""

from dataclasses import dataclass
from importlib import resources
from typing import Any, Self

import yaml

from reward.plain import JsonObject


@dataclass(frozen=True)
class Sentences:
    """Sentences of one language.

    Parameters
    ----------
    entries
        Key -> sentence with ``{places}``, or a group of them.
    """

    entries: JsonObject

    @classmethod
    def read(cls, package: str, language: str) -> Self:
        """Read the sentences of a package of rlopt in "en" or "zh"."""
        text = (resources.files(package) / "lang" / f"{language}.yaml").read_text(encoding="utf-8")
        return cls(yaml.safe_load(text))

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence ``key`` ("figures.step" within a group) with its places filled."""
        found: Any = self.entries
        for part in key.split("."):
            found = found[part]
        return str(found).format(**values)
