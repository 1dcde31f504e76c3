"""``rlopt offline-eval``: the stage and its parts."""

from .result import EvaluationResult
from .stage import evaluate

__all__ = ["EvaluationResult", "evaluate"]
