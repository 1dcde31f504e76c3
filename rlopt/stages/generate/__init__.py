"""``rlopt generate``: the stage and its parts."""

from .stage import generate

__all__ = ["generate"]
