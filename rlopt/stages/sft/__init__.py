"""``rlopt sft``: the stage and its parts."""

from .stage import train_sft

__all__ = ["train_sft"]
