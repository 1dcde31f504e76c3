"""``rlopt review``: the stage and its parts."""

from .stage import export, review

__all__ = ["export", "review"]
