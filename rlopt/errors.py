"""Errors a user can act on. The command line prints each as one line and exits with `exit_code`."""


class RloptError(Exception):
    """Base: the message says what is wrong, where, the value found, and the way out, in one line."""

    exit_code = 1


class ConfigError(RloptError):
    """A setting is unknown, malformed or out of range."""


class StageOrderError(RloptError):
    """A stage needs another one that this run directory has not completed."""


class RunError(RloptError):
    """The run directory cannot be read or written, or belongs to other inputs."""


class PolicyError(RloptError):
    """A policy (model folder, tokenizer, checkpoint) cannot be loaded or used."""


class EvaluationError(RloptError):
    """An evaluation is refused because its answer would be meaningless."""
