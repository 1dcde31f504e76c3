"""The card of a policy that is published: licence, language, dates, and what was measured as ``model-index``."""

from collections.abc import Sequence
from typing import cast

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from reward.plain import JsonObject

METRICS = (
    ("lift", "CTR lift over the logged titles"),
    ("lift_low", "Lower limit of that lift"),
    ("lift_high", "Upper limit of that lift"),
    ("faithfulness", "Share of titles without claims that their item does not state"),
    ("support", "Share of titles near logged ones"),
    ("violations", "Share of titles that break a rule"),
)


def published_card(
    card: str,
    *,
    name: str,
    trained: str,
    licence: str | None,
    languages: Sequence[str],
    report: JsonObject | None,
) -> str:
    """The card of a policy's folder as a hub reads it.

    Parameters
    ----------
    card
        As it stands in the run.
    name
        Of the model on the hub.
    trained
        Day of the training, "2026-03-02".
    licence
        The hub's name of a licence ("apache-2.0"); None: the card names none.
    languages
        Codes of the titles' languages; none where not known.
    report
        ``report.json`` of the policy's evaluation; None where it was not evaluated.
    """
    out = ModelCard(card, ignore_metadata_errors=True)
    data = cast(ModelCardData, out.data)
    data.license = licence
    data.language = list(languages) or data.language
    told = f"Trained on {trained}."
    if report is not None:
        data.model_name = name
        data.eval_results = model_index(report)
        told += _evaluated(report)
    out.text = out.text.replace("\n## Limits\n", f"\n## Dates and verdict\n\n{told}\n\n## Limits\n", 1)
    return str(out)


def model_index(report: JsonObject) -> list[EvalResult]:
    """Results of ``offline-eval`` as a hub lists them: all by the judge, offline, none of it clicks of people."""
    lift = report["lifts"]["logged"]
    mine = next(policy for policy in report["policies"] if policy["policy"] == report["candidate"])
    values = {
        "lift": lift["value"],
        "lift_low": lift["low"],
        "lift_high": lift["high"],
        "faithfulness": mine["faithfulness"],
        "support": mine["support_share"],
        "violations": report["guardrails"]["violation_share"],
    }
    return [
        EvalResult(
            task_type="text-generation",
            task_name="Titles for items",
            dataset_type="click-logs",
            dataset_name=f"{report['test']['items']} held-out items of {report['origin']['logs'] or 'the logs'}",
            metric_type=kind,
            metric_name=f"{name} (offline, by the judge)",
            metric_value=values[kind],
        )
        for kind, name in METRICS
        if values[kind] is not None
    ]


def _evaluated(report: JsonObject) -> str:
    lift, origin = report["lifts"]["logged"], report["origin"]
    days = f" of {origin['first_day']} to {origin['last_day']}" if origin["first_day"] else ""
    return (
        f" Evaluated offline on {origin['evaluated']}, on logs{days}: {report['verdict']['headline']}. "
        f"{lift['value']:+.1%} clicks per impression over the logged titles ({lift['confidence']:.0%} interval "
        f"{lift['low']:+.1%} to {lift['high']:+.1%}) on {report['test']['items']:,} held-out items."
    )
