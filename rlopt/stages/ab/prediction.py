"""Prediction of a policy by offline-eval, as planning and analysing an A/B test of it need it."""

from dataclasses import dataclass

from reward.plain import Plain


@dataclass(frozen=True)
class Predicted:
    """A predicted lift with its interval; 0.05 is +5%."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PredictedDiagnostics:
    """Diagnostics of the evaluation: how much items differ in how they respond."""

    item_lift_spread: float | None = None


@dataclass(frozen=True)
class PredictedGuardrails:
    """Guardrails of the evaluation: the lift of conversions over the logged titles, None where logs have none."""

    conversions: Predicted | None = None


@dataclass(frozen=True)
class PredictedVerdict:
    """Verdict of the evaluation: "launch", "hold" or "insufficient-evidence"."""

    decision: str


@dataclass(frozen=True)
class Evaluation(Plain):
    """Parts of ``report.json`` that are read (`rlopt.report.content.EvaluationReport`); ``lifts`` are by baseline."""

    lifts: dict[str, Predicted]
    verdict: PredictedVerdict
    diagnostics: PredictedDiagnostics = PredictedDiagnostics()
    guardrails: PredictedGuardrails = PredictedGuardrails()

    def lift(self, metric: str, baseline: str) -> Predicted | None:
        """Predicted lift of this metric against this baseline; None where there is none.

        Of conversions only the lift over the logged titles is known, where they have any.
        """
        if metric == "clicks":
            return self.lifts.get(baseline)
        return self.guardrails.conversions if (metric, baseline) == ("conversions", "logged") else None
