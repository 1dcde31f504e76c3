"""Errors the reward package raises: each is a ValueError whose message says what, where, and the way out."""


class RewardError(ValueError):
    """Base of every error this package raises on purpose. The message is one line for a person."""


class LogError(RewardError):
    """The logs cannot be read, or hold a value the schema forbids."""


class SplitError(RewardError):
    """The items cannot be split as asked (too few items, shares that leave a side empty)."""


class ModelError(RewardError):
    """A model cannot be fitted on this data, or a saved model cannot be loaded."""
