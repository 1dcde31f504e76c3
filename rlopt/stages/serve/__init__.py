"""``rlopt serve``: the stage and its parts."""

from .stage import serve

__all__ = ["serve"]
