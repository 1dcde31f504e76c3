"""Errors the envs package raises: each is a ValueError whose message says what, where, and the way out."""


class EnvError(ValueError):
    """Base of every error this package raises on purpose. The message is one line for a person."""


class MarketError(EnvError):
    """A simulated market cannot be built, loaded, or asked about this item."""


class SimulationError(EnvError):
    """Logs cannot be simulated as asked."""
