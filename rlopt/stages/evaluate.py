"""The old path of `rlopt.stages.offline_eval`, for programs that import it."""

from rlopt.stages.offline_eval import EvaluationResult, evaluate

__all__ = ["EvaluationResult", "evaluate"]
