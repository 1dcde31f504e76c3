"""``rlopt export``: the stage and its parts."""

from .stage import export

__all__ = ["export"]
