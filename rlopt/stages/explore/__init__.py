"""``rlopt explore``: the stage and its parts."""

from .stage import explore

__all__ = ["explore"]
