"""``rlopt ppo``: the stage and its result."""

from .stage import train_ppo

__all__ = ["train_ppo"]
