"""``rlopt probe``: the stage and its parts."""

from .stage import probe

__all__ = ["probe"]
