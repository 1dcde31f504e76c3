"""Result of ``rlopt offline-eval``."""

from dataclasses import dataclass
from pathlib import Path

from reward.plain import JsonObject, html_of, plain
from rlopt.report.content import EvaluationReport
from rlopt.report.language import words_of
from rlopt.wording import joined_lines


@dataclass(frozen=True)
class EvaluationResult:
    """Result of the evaluation; ``report`` has everything, `to_dict` the figures that programs ask for first."""

    folder: Path
    report: EvaluationReport

    def to_dict(self) -> JsonObject:
        """Plain JSON data: the lift over the SFT policy under plain names, that over the logged titles in a group.

        Without an SFT policy to compare with, both are over the logged titles.
        """
        over_logged = self.report.lifts["logged"]
        over_sft = self.report.lifts.get("sft", over_logged)
        truth = self.report.true_lifts or {}
        figures = {policy.policy: policy for policy in self.report.policies}
        mine, sft = figures[self.report.candidate], figures.get("sft")
        return {
            "policy": self.report.candidate,
            "verdict": self.report.verdict.decision,
            "reasons": [reason.message for reason in self.report.verdict.reasons],
            "estimated_lift": over_sft.value,
            "low": over_sft.low,
            "high": over_sft.high,
            "over_logged": {"estimated_lift": over_logged.value, "low": over_logged.low, "high": over_logged.high},
            "weight": self.report.config["weight"],
            "by_other_weight": {
                name: {"estimated_lift": lift.value, "low": lift.low, "high": lift.high}
                for name, lift in self.report.other_lifts.items()
            },
            "candidates": self.report.candidates,
            "true_lift": truth.get("sft", truth.get("logged")),
            "true_lift_over_logged": truth.get("logged"),
            "faithfulness": mine.faithfulness,
            "sft_faithfulness": sft.faithfulness if sft else None,
            "promises": self.report.promises,
            "kl": self.report.kl.value if self.report.kl else None,
            "support_share": mine.support_share,
            "overlap": self.report.overlap.message,
            "items": self.report.n_items,
            "segments": plain(self.report.segments),
            "report": str(self.folder / "report.html"),
        }

    def _repr_html_(self) -> str:
        """HTML that a notebook shows."""
        return html_of(self)

    def to_text(self) -> str:
        """The verdict and its reasons, for a person, in the language of the settings."""
        words = words_of(self.report.config.get("lang", "en"))
        lines = [words("sentence", text=words.headline(self.report)), ""]
        reasons = self.report.verdict.reasons
        lines += [f"  [{words('status.' + one.status)}] {words.reason(one, self.report)}" for one in reasons]
        if self.report.config["by"]:
            lines += ["", words("terminal.segments")]
            lines += [
                f"  {s.lift:+7.1%}  {s.low:+7.1%} … {s.high:+7.1%}  q {s.q_value:.3f}  {s.column}: "
                + words("terminal.segment", value=f"{words.segment(s.value):.60}", items=f"{s.n_items:,}")
                for s in self.report.segments
            ]
        return joined_lines([*lines, "", words("terminal.report", file=self.folder / "report.html")])
