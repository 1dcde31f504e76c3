"""Model cards: the README.md of ``reward/``, ``sft/`` and ``ppo/``, as Hugging Face reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCardData

from reward.text import clean
from rlopt.algorithms import ALGORITHMS, SFT

from .attacks import AttackFigures, SwapFigures, attack_table, swap_table

POLICY_LIMITS = (
    "Have its titles evaluated by `rlopt offline-eval` and by an A/B test before many people see them. A policy that "
    "was trained to earn clicks as a reward model predicts them inherits that model's mistakes.",
    "It knows the kind of items it was trained on. For others its titles may be wrong or empty.",
    "Clicks are not sales, and attention is not truth: check claims against the item.",
)
OBSERVATIONAL = (
    "The reward is observational: it was learned from titles of different items. What correlates with clicks need not "
    "cause them, and no verdict on it says launch."
)
NO_REWARD = "No clicks were known: there is no reward yet, so none chose its titles"
TAGGER_LIMITS = (
    "It knows the kind of titles it was trained on; on others it overlooks words, and short titles then lack them.",
    "It keeps words and writes none. That a short title reads well is not measured.",
)
REWARD_LIMITS = (
    "It predicts clicks from titles as the logs showed them. Titles unlike any of those get cautious, uncertain "
    "predictions, not knowledge.",
    "It explains differences between titles of one item. Differences between items come from the item's own history.",
    "A policy that is optimised against it must be judged by another model (`judge/`), as `rlopt offline-eval` does.",
)


PROBE_BEGIN, PROBE_END = "<!-- rlopt probe -->", "<!-- end of rlopt probe -->"
PROBE_TEXT = (
    "Logged titles of test items, degraded or rephrased by `rlopt probe`. reward, judge: median change from the item's "
    "logged titles (for a paraphrase, from the title itself); above: share that scores higher; open: share that the "
    "reward scores higher and that no check catches (rules, relevance, fluency). "
    "An attack with the verdict open fools this run."
)


SWAP_TEXT = (
    "Titles of the policy for items whose fields name a sex or a place, and for the same items with these words "
    "swapped, with the same random numbers. alike: share of the titles that differ in those words alone; reward: "
    "median change; above, below: share that earns more, or less, by 5%."
)


def with_probe(card: str, found: Sequence[AttackFigures], written: Sequence[SwapFigures] = ()) -> str:
    """The card with the tables of a probe at its end, in place of earlier ones."""
    before, begins, rest = card.partition(PROBE_BEGIN)
    after = rest.partition(PROBE_END)[2] if begins else ""
    told = [PROBE_BEGIN, "## What fools it", "", PROBE_TEXT, "", *attack_table(found)]
    if written:
        told += ["", "## Titles for the other sex or place", "", SWAP_TEXT, "", *swap_table(written)]
    section = "\n".join([*told, PROBE_END])
    return f"{before.rstrip()}\n\n{section}\n{after.lstrip()}"


def policy_card(
    stage: str,
    *,
    base_model: str | None,
    parameters: int,
    n_items: int,
    figures: Mapping[str, float | int | str | None],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    slots: bool,
    languages: Sequence[str] = (),
    prefix: bool = False,
    rewarded: bool = True,
    observational: bool = False,
) -> str:
    """Card of a title policy.

    Parameters
    ----------
    stage
        "sft", or the algorithm that trained it.
    base_model
        Model it was fine-tuned from; None for the embedded tiny model.
    parameters
        Number of weights.
    n_items
        Items it was trained on.
    figures
        Measured figures, name -> value.
    settings
        Settings of the stage.
    versions
        Package -> version.
    slots
        True where prompts and completions are written with slot tokens.
    languages
        Language codes of the titles ("en", "zh").
    prefix
        True where it is a plain model, in ``base/``, and a learned prefix.
    rewarded
        False where it learned from the titles of a catalogue, and nothing was known of clicks.
    observational
        True if the reward that it was trained against compares titles of different items.
    """
    label, method = "SFT", "supervised fine-tuning on logged titles"
    if not rewarded:
        method = f"supervised fine-tuning on the titles of a catalogue. {NO_REWARD}"
    if stage != SFT:
        label = ALGORITHMS[stage].label
        kind = "an observational" if observational else "a"
        reward = f"{kind} reward model fitted on click logs, with a KL penalty"
        method = f"supervised fine-tuning, then {label} against {reward}"
    head = ModelCardData(
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["rlopt", "title-generation", stage],
        language=list(languages) or None,
        base_model=base_model,
    )
    return _card(
        head,
        f"Title policy ({label})",
        [
            f"A causal language model of {parameters:,} parameters that writes titles for items: {method}. "
            f"Trained on {n_items:,} items. {_fills(slots)}",
            _loading(prefix),
        ],
        figures,
        (*POLICY_LIMITS, *([OBSERVATIONAL] if observational else [])),
        settings,
        versions,
    )


def export_card(
    *,
    how: str,
    parameters: int,
    before: Mapping[str, float | int | None],
    after: Mapping[str, float | int | None],
    n_items: int,
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    slots: bool,
    needs: str | None = None,
) -> str:
    """Card of a policy that `rlopt export` made of another; parameters not listed are those of `policy_card`.

    Parameters
    ----------
    how
        Description of the export.
    before, after
        The same figures of the policy it came from and of this one.
    n_items
        Items these were measured on.
    needs
        Package without which the folder does not load.
    """
    tags = ["rlopt", "title-generation", "export"]
    head = ModelCardData(library_name="transformers", pipeline_tag="text-generation", tags=tags)
    figures = {name: f"{_cell(before[name])} → {_cell(after[name])}" for name in after}
    return _card(
        head,
        "Title policy (exported)",
        [
            f"A causal language model of {parameters:,} parameters that writes titles for items. {how} {_fills(slots)}",
            *([f"First: `pip install {needs}`"] if needs else []),
            _loading(),
            f"Measured before → after on {n_items:,} train items that the export did not learn from; the policy that "
            "was exported did.",
        ],
        figures,
        POLICY_LIMITS,
        settings,
        versions,
    )


def _fills(slots: bool) -> str:
    """Explain how the model's text becomes a title."""
    if slots:
        return (
            "Slot tokens such as `<brand>` stand for the item's own values; `rlopt generate` and `rlopt.TitlePolicy` "
            "fill them in, plain transformers shows them as they are."
        )
    return "It writes plain text."


def _loading(prefix: bool = False) -> str:
    """Explain how to load the folder, with and without rlopt."""
    plain = 'model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")\n'
    if prefix:
        plain = (
            "from peft import PeftModel                                      # which reads the learned prefix\n"
            'base = AutoModelForCausalLM.from_pretrained("path/to/this/folder/base")\n'
            'model = PeftModel.from_pretrained(base, "path/to/this/folder")\n'
        )
    return (
        "```python\n"
        "from rlopt import TitlePolicy          # with rlopt: prompts and slots are taken care of\n"
        'policy = TitlePolicy.load("path/to/this/folder")\n\n'
        "from transformers import AutoModelForCausalLM, AutoTokenizer   # or without it\n"
        f"{plain}```"
    )


def reward_card(
    *,
    n_items: int,
    n_arms: int,
    n_impressions: float,
    figures: Mapping[str, float | int | str | None],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    split: Mapping[str, int] | None = None,
    conversions: bool = False,
    warnings: Sequence[str] = (),
    effects: Mapping[str, str] | None = None,
    note: str = "",
    images: Mapping[str, str] | None = None,
    observational: bool = False,
) -> str:
    """Card of a reward model; parameters not listed are those of `policy_card`.

    Parameters
    ----------
    n_arms, n_impressions
        Titles it was fitted on, and how often they were shown.
    split
        Side -> items.
    conversions
        True if it predicts conversions too.
    warnings
        Warnings of the log doctor.
    effects, note
        Property of a title -> its effect in words, and whether these may be taken for causes.
    images
        Caption -> file beside the card.
    observational
        True if titles of different items were compared.
    """
    tags = ["rlopt", "reward-model", "click-through-rate", *(["observational"] if observational else [])]
    head = ModelCardData(library_name="lightgbm", tags=tags)
    learned = "from differences between similar items" if observational else "within items"
    what = "a click and of a conversion given a click" if conversions else "a click"
    sides = ", ".join(f"{side} {count:,}" for side, count in (split or {}).items())
    paragraphs = [
        f"Predicts the chance of {what} for an item shown with a title: an item baseline "
        f"plus a title effect learned {learned}. Fitted on {n_arms:,} titles of {n_items:,} items, "
        f"{n_impressions:,.0f} impressions."
        + (f" Items were split before anything was learned ({sides}); no title sits on two sides." if sides else ""),
        "```python\n"
        "from rlopt import RewardModel\n"
        'prediction = RewardModel.load("path/to/this/folder").predict(items, titles)\n'
        "```",
    ]
    if effects:
        paragraphs += [
            "## What correlates with clicks",
            f"Change of the click rate with its 95% interval over the ensemble, other listed properties being equal. "
            f"{note}",
            _table(("property", "effect"), effects),
        ]
    paragraphs += [f"![{_cell(caption)}]({name})" for caption, name in (images or {}).items()]
    return _card(
        head,
        "Title reward model (observational)" if observational else "Title reward model",
        paragraphs,
        figures,
        (*([OBSERVATIONAL] if observational else []), *REWARD_LIMITS, *(_cell(warning) for warning in warnings)),
        settings,
        versions,
    )


def tagger_card(
    *,
    base_model: str | None,
    parameters: int,
    titles: int,
    held_out: int,
    figures: Mapping[str, float | int | str | None],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    """Card of a tagger; parameters not listed are those of `policy_card`.

    Parameters
    ----------
    titles, held_out
        Labelled titles it learned from, and that ``figures`` were measured on.
    """
    head = ModelCardData(
        library_name="transformers",
        pipeline_tag="token-classification",
        tags=["rlopt", "title-shortening"],
        base_model=base_model,
    )
    return _card(
        head,
        "Title tagger",
        [
            f"A token classifier of {parameters:,} parameters that says which words of a title are what (IOB2 labels, "
            f"read at the first token of a word). It learned from {titles:,} titles; what is measured below was "
            f"measured on {held_out:,} others.",
            "```python\n"
            "from transformers import pipeline\n"
            'tag = pipeline("token-classification", "path/to/this/folder", aggregation_strategy="first")\n'
            "```",
        ],
        figures,
        TAGGER_LIMITS,
        settings,
        versions,
    )


def _card(
    head: ModelCardData,
    title: str,
    paragraphs: Sequence[str],
    figures: Mapping[str, Any],
    limits: Sequence[str],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
) -> str:
    parts = [f"---\n{head}\n---", f"# {title}", *paragraphs]
    if figures:
        parts += ["## Measured", _table(("", "value"), figures)]
    parts += ["## Limits", "\n".join(f"- {limit}" for limit in limits)]
    if settings:
        parts += ["## Settings", _table(("setting", "value"), settings)]
    parts += ["## Made with", ", ".join(f"{name} {version}" for name, version in versions.items())]
    return "\n\n".join(parts) + "\n"


def _table(header: tuple[str, str], rows: Mapping[str, Any]) -> str:
    lines = [f"| {header[0]} | {header[1]} |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """Text fit for one cell of a Markdown table: no line breaks, no markup of its own."""
    if value is None:
        return "–"
    text = f"{value:.4g}" if isinstance(value, float) else clean(str(value))
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "'")
