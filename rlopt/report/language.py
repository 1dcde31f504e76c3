"""The report's words, one dictionary a language (``lang/*.yaml``)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rlopt.algorithms import ALGORITHMS
from rlopt.ope.diagnostics import SMALLEST_TOLD
from rlopt.ope.guardrails import RULES
from rlopt.ope.reasons import Reason
from rlopt.sentences import Sentences

from .content import EvaluationReport

PERCENTAGES = {
    "relevance",
    "fluency",
    "lift",
    "other_lift",
    "support",
    "faithfulness",
    "conversions",
    "revenue",
    "violations",
    "past_tests",
    "misleading",
}
COUNTS = {"test_items", "candidates"}


@dataclass(frozen=True)
class Words(Sentences):
    """The report's sentences, and what things are called in it."""

    def list_of(self, key: str) -> list[str]:
        """The paragraphs of ``key``."""
        return [str(text) for text in self.entries[key]]

    def many(self, group: str, keys: Sequence[str]) -> list[str]:
        """Several sentences of one group."""
        return [self(f"{group}.{key}") for key in keys]

    def rules(self, broken: Sequence[str]) -> str:
        """Names of broken rules; one without a name here goes by its own."""
        return " · ".join(map(self.rule, broken))

    def rule(self, kind: str) -> str:
        """Name of a fault that breaks one rule."""
        names: dict[str, str] = self.entries.get("rules", RULES)
        return names.get(kind, kind)

    def attack(self, name: str) -> str:
        """Name of an attack of `rlopt probe`; a user's own keeps its name."""
        names: dict[str, str] = self.entries["attacks"]
        return names.get(name, name)

    def metric(self, name: str) -> str:
        """Name of a metric, or of a ratio of two; a column of the user's own keeps its name."""
        names: dict[str, str] = self.entries["metric_names"]
        return "/".join(names.get(part, part) for part in name.split("/"))

    def question(self, name: str) -> str:
        """Name of a question to people; a user's own keeps its name."""
        names: dict[str, str] = self.entries["questions"]
        return names.get(name, name.replace("_", " "))

    def caught(self, rules: Sequence[tuple[str, float]]) -> str:
        """The rules that catch an attack, with their shares."""
        names: dict[str, str] = self.entries["probe_rules"]
        return (
            self("list_comma").join(f"{names.get(rule, self.rule(rule))} {share:.0%}" for rule, share in rules) or "–"
        )

    def policy(self, name: str) -> str:
        """Name of a policy; one from elsewhere keeps its name."""
        if name in ALGORITHMS:
            return self("trained", name=ALGORITHMS[name].label)
        names: dict[str, str] = self.entries["policies"]
        return names.get(name, name)

    def small_share(self, value: float) -> str:
        """A share that may be next to nothing, which is then said in words."""
        return f"{value:.2%}" if value >= SMALLEST_TOLD else self("less_than", share=f"{SMALLEST_TOLD:.2%}")

    def segment(self, value: str) -> str:
        """A segment's value; what stands for the rest, or for none, in this language."""
        names: dict[str, str] = self.entries.get("segment_values", {})
        return names.get(value, value)

    def headline(self, report: EvaluationReport) -> str:
        """The decision in words."""
        headlines: dict[str, str] = self.entries.get("headlines", {})
        return headlines.get(report.verdict.decision, report.verdict.headline)

    def reason(self, reason: Reason, report: EvaluationReport) -> str:
        """One reason as a sentence: its own message, or this language's for its topic."""
        sentences: dict[str, str] | None = self.entries.get("reasons")
        if sentences is None:
            return reason.message
        kind, _, baseline = reason.topic.partition("_over_")
        key = f"{kind}_none" if f"{kind}_none" in sentences and reason.figure is None else kind
        if key not in sentences:
            return reason.message
        return sentences[key].format(**self._values(kind, baseline, reason, report))

    def _values(self, kind: str, baseline: str, reason: Reason, report: EvaluationReport) -> dict[str, str]:
        form = "{:.1%}" if kind in PERCENTAGES else "{:.0f}" if kind in COUNTS else "{:.2f}"
        values = {
            name: self("reasons.none") if figure is None else form.format(figure)
            for name, figure in (("figure", reason.figure), ("threshold", reason.threshold))
        }
        if kind == "overlap" and reason.figure is not None:
            values["figure"] = self.small_share(reason.figure)
        lift = {
            "lift": report.lifts.get(baseline),
            "other_lift": report.other_lifts.get(baseline),
            "conversions": report.guardrails.conversions,
            "revenue": report.guardrails.revenue,
        }.get(kind)
        if lift is not None:
            values |= {name: f"{getattr(lift, field):+.1%}" for name, field in _LIFT_FIELDS.items()}
            values |= {"confidence": f"{lift.confidence:.0%}", "threshold": f"{reason.threshold or 0.0:+.1%}"}
        if baseline:
            values["baseline"] = self(f"baselines.{baseline}")
        if kind == "violations":
            worst = list(report.guardrails.violations.items())[:3]
            which = self("list_comma").join(f"{self.rule(name)} {part:.1%}" for name, part in worst)
            values["which"] = f"（{which}）" if which else ""
        people = next((one for one in report.rated if one.question == kind), None)
        if people is not None:
            values |= {"low": f"{people.low:.1%}", "high": f"{people.high:.1%}", "titles": str(people.n_titles)}
        if kind == "hidden_arms" and report.hidden_arms is not None:
            values["predicted"] = f"{report.hidden_arms.predicted_lift:+.1%}"
            values["observed"] = f"{report.hidden_arms.observed_lift:+.1%}"
        return values


_LIFT_FIELDS = {"lift": "value", "low": "low", "high": "high"}


@cache
def words_of(language: str) -> Words:
    """The words of "en" or "zh"."""
    return Words.read("rlopt.report", language)
