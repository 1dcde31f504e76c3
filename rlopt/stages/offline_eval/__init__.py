"""``rlopt offline-eval``: the stage and its parts."""

from .stage import EvaluationResult, evaluate

__all__ = ["EvaluationResult", "evaluate"]
