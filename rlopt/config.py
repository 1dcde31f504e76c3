"""Settings of every stage: defaults < the run's preset < the YAML file < flags.

Every field is documented once, here. An unknown key is an error with a suggestion, and all errors of a file come in
one message.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rlopt.errors import ConfigError

TITLES_MAX_TOKENS = 48


class StageConfig(BaseModel):
    """Base: frozen, no unknown keys, no NaN; ``section`` is its key in a YAML preset."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
    section: ClassVar[str]

    seed: int = Field(0, ge=0, description="Seed of everything random in the stage.")


class RewardConfig(StageConfig):
    """``fit-reward``: reading the logs, splitting the items, the reward model and the judge."""

    section: ClassVar[str] = "reward"

    judge_share: float = Field(0.2, ge=0, lt=1, description="Share of items only the judge learns from.")
    test_share: float = Field(0.2, ge=0, lt=1, description="Share of items only offline-eval sees.")
    time_split: bool = Field(False, description="Newest items are the test items (needs timestamps).")
    monitor_share: float = Field(
        0.1, ge=0, le=0.5, description="Share of train items for the monitor, which PPO watches but never optimises."
    )
    members: int = Field(5, ge=1, le=100, description="Models in the ensemble, each on a bootstrap of the items.")
    encoder: str | None = Field(
        None, description="Who knows what words mean: minilm, smollm2, policy, a path or hub id; joined by '+'."
    )
    click_weight: float = Field(1.0, ge=0, description="Worth of a click.")
    conversion_weight: float = Field(0.0, ge=0, description="Worth of a conversion.")
    revenue_weight: float = Field(0.0, ge=0, description="Worth of a unit of revenue.")
    conversion_window_hours: float | None = Field(
        None, gt=0, description="Conversions later than this after the click do not count."
    )
    engine: Literal["local", "dask"] = Field("local", description="Who trains the trees: this process, or a cluster.")
    half_life_days: float | None = Field(
        None, gt=0, description="Evidence this old counts half as much (needs timestamps); none: all counts alike."
    )
    learning_curve: bool = Field(True, description="Measure what fewer items would have taught.")
    memory_limit: str = Field("1GB", pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$", description="Memory of the log engine.")


class SftConfig(StageConfig):
    """``sft``: the supervised policy, which is also PPO's reference and the evaluation's baseline."""

    section: ClassVar[str] = "sft"

    model: str | None = Field(None, description="Causal LM by path or hub id, or 'smollm2'; none: the tiny one.")
    gguf_file: str | None = Field(None, description="GGUF file within the model folder.")
    instruction: str = Field("Write a title for this item.", description="First line of a pretrained model's prompt.")
    chat: bool = Field(False, description="Prompts in the model's chat template (instruct models).")
    fields: tuple[str, ...] = Field((), description="Fields shown to a pretrained model, in this order; none: all.")
    max_field_chars: int = Field(400, ge=1, description="Longer fields are cut in a pretrained model's prompt.")
    peft: Literal["none", "lora", "adalora"] = Field("none", description="What learns: all weights, or adapters.")
    lora_rank: int = Field(16, ge=1, description="Rank of the LoRA adapters.")
    steps: int | None = Field(None, ge=1, description="Optimiser steps; none: as many as `epochs` needs.")
    epochs: float = Field(2.0, gt=0, description="Passes over the titles.")
    batch_size: int = Field(32, ge=1, description="Titles a step.")
    learning_rate: float = Field(2e-3, gt=0, description="Peak learning rate (a pretrained model wants 1e-4 or so).")
    max_title_tokens: int = Field(TITLES_MAX_TOKENS, ge=4, description="Longest title, in tokens.")
    save_every: int = Field(100, ge=1, description="Steps between checkpoints.")


class PpoConfig(StageConfig):
    """``ppo``: proximal policy optimisation against the reward, with a KL penalty to the SFT policy."""

    section: ClassVar[str] = "ppo"

    algorithm: Literal["ppo", "grpo", "rloo"] = Field("ppo", description="PPO, or a rival without a critic.")
    steps: int = Field(2000, ge=1, description="Updates.")
    batch_size: int = Field(64, ge=1, description="Titles an update.")
    generations: int | None = Field(
        None, ge=1, description="Titles an item in a batch; none: 1 for PPO, 8 for GRPO and RLOO."
    )
    learning_rate: float = Field(2e-4, gt=0, description="Learning rate at the start; it falls linearly to zero.")
    kl_coef: float = Field(0.1, ge=0, description="Weight of the KL penalty, in standard deviations per nat.")
    kl_target: float | None = Field(
        3.5, gt=0, description="KL in nats a title above which the weight grows; none: the weight is fixed."
    )
    gamma: float = Field(1.0, gt=0, le=1, description="Discount per token.")
    gae_lambda: float = Field(0.95, ge=0, le=1, description="GAE's lambda (Schulman et al. 2016).")
    clip: float = Field(0.2, gt=0, lt=1, description="Clip range of the probability ratio.")
    value_clip: float | None = Field(None, gt=0, description="Clip range of the critic's values; none: not clipped.")
    whiten: bool = Field(True, description="Advantages are scaled to mean 0 and variance 1 over each batch.")
    entropy_coef: float = Field(0.0, ge=0, description="Weight of the entropy bonus.")
    epochs: int = Field(1, ge=1, description="Passes over each batch of rollouts.")
    critic: Literal["head", "own"] = Field(
        "head", description="What the critic learns: a head on the frozen reference, or a model of its own."
    )
    critic_learning_rate: float = Field(3e-3, gt=0, description="The critic's own learning rate.")
    critic_epochs: int = Field(8, ge=1, description="Passes of the critic over each batch of rollouts.")
    critic_warmup: int = Field(
        10, ge=0, description="First updates, in which only the critic learns; at most a twentieth of all."
    )
    monitor: bool = Field(
        True, description="Watch a reward model fitted on other items; past its peak, stop and go back there."
    )
    monitor_every: int = Field(5, ge=1, description="Updates between two looks of the monitor.")
    peft: Literal["auto", "none", "lora", "adalora"] = Field("auto", description="What learns; auto: as in `sft`.")
    lora_rank: int = Field(16, ge=1, description="Rank of the LoRA adapters.")
    peft_config: dict[str, Any] | None = Field(
        None, description="Any other adapters, by peft's own names: peft_type (LOHA, OFT ...) and its settings."
    )
    bf16: bool | None = Field(None, description="Compute in bfloat16; none: on a GPU that can.")
    gradient_checkpointing: bool | None = Field(
        None, description="Less memory for more time; none: large models on a GPU."
    )
    vllm: Literal["off", "colocate", "server"] = Field("off", description="Who writes the rollouts (needs vllm).")
    risk_aversion: float = Field(1.0, ge=0, description="Standard deviations of the title's effect taken off.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature of rollouts.")
    save_every: int = Field(100, ge=1, description="Updates between checkpoints.")
    report_to: tuple[str, ...] = Field((), description="Trackers beside the JSON lines: tensorboard, wandb, trackio.")


class EvalConfig(StageConfig):
    """``offline-eval``: the judge's comparison on test items, and the rule of the verdict."""

    section: ClassVar[str] = "eval"

    samples: int = Field(4, ge=1, description="Titles sampled for each test item and policy.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature: the one the policy would serve with.")
    max_items: int = Field(500, ge=2, description="Test items used at most (drawn by the seed).")
    best_of: int = Field(16, ge=0, description="Rival: best of so many SFT titles by the reward; 0 leaves it out.")
    draws: int = Field(400, ge=50, description="Posterior draws of the judge.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    baseline: Literal["both", "logged", "sft"] = Field("both", description="What the policy must beat to launch.")
    min_lift: float = Field(0.0, gt=-1, description="The interval must lie above this lift to launch.")
    min_items: int = Field(30, ge=2, description="Fewer test items than this: not enough evidence.")
    max_kl: float | None = Field(None, gt=0, description="More nats a title than this: not enough evidence.")
    support_level: float = Field(0.5, ge=0, le=1, description="A title with this much support is near logged ones.")
    support_share: float = Field(0.6, ge=0, le=1, description="Share of titles near logged ones that evidence needs.")
    max_hidden_arm_z: float = Field(2.5, gt=0, description="Judge against real arms: larger |z| is no evidence.")
    min_overlap: float = Field(0.05, gt=0, le=1, description="Policy mass on logged titles that exact estimators need.")
    min_overlap_items: float = Field(20, ge=2, description="Effective number of items that exact estimators need.")
    min_faithfulness: float = Field(0.5, ge=0, le=1, description="Share of titles with no unsupported word needed.")
    max_interval_factor: float = Field(
        3.0, gt=1, description="An interval whose ends differ by more than this factor is no evidence."
    )
    max_faithfulness_loss: float = Field(0.05, ge=0, le=1, description="That share may be lower than SFT's by this.")
    max_text_kl: float = Field(2.0, gt=0, description="New titles as many nats from logged ones as this: no evidence.")
    max_conversion_loss: float = Field(0.05, ge=0, description="Conversions per impression may fall by this share.")
    max_revenue_loss: float = Field(0.05, ge=0, description="Revenue per impression may fall by this share.")
    by: tuple[str, ...] = Field((), description="Item fields whose values make the segments of the report.")
    lang: Literal["en", "zh"] = Field("en", description="Language of report.html.")
    max_violations: float = Field(0.05, ge=0, le=1, description="Share of titles that may break a rule.")


class RulesConfig(StageConfig):
    """``constraints``: what no title may do, in PPO's reward, in generation and in the reports."""

    section: ClassVar[str] = "constraints"

    max_width: int = Field(160, ge=8, description="Longest title in columns (a Chinese character counts two).")
    max_chars: int | None = Field(None, ge=4, description="Longest title in characters.")
    max_words: int | None = Field(None, ge=1, description="Longest title in words (a Chinese character is a word).")
    max_repeats: int = Field(2, ge=1, description="How often one word may occur.")
    banned: tuple[str, ...] = Field((), description="Phrases no title may hold; @FILE reads one a line.")
    required: tuple[str, ...] = Field((), description="Phrases every title must hold.")
    superlatives: tuple[str, ...] | None = Field(
        None, description="Phrases of advertising law, @FILE reads one a line; none: the lists that come with rlopt."
    )
    formatting: bool = Field(True, description="Shouting and strings of symbols are violations.")
    support: bool = Field(True, description="What the item's fields do not say is a violation (items with fields).")


class CompareConfig(StageConfig):
    """``compare``: the run's policies and best-of-n side by side on test items."""

    section: ClassVar[str] = "compare"

    samples: int = Field(4, ge=1, description="Titles sampled for each test item and policy.")
    policies: tuple[Literal["ppo", "grpo", "rloo"], ...] = Field((), description="Which ones; none: all the run has.")
    best_of: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (4, 16, 64), description="Best of so many SFT titles by the reward."
    )
    risk_aversion: float = Field(1.0, ge=0, description="Spreads taken off the reward that best-of-n goes by.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    max_items: int = Field(200, ge=2, description="Test items used at most (drawn by the seed).")
    draws: int = Field(400, ge=50, description="Posterior draws of the judge.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")


class GenerateConfig(RulesConfig):
    """``generate``: titles for a catalogue, under the rules of ``constraints``."""

    section: ClassVar[str] = "generate"

    n: int = Field(1, ge=1, le=1000, description="Titles an item.")
    best_of: int = Field(1, ge=1, le=1000, description="Titles written an item, of which the best by reward are kept.")
    temperature: float = Field(1.0, ge=0, description="Sampling temperature; 0 takes the likeliest word each time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Sample from the smallest set of words with this probability.")
    beams: int = Field(1, ge=1, le=64, description="Beam search with so many beams instead of sampling.")
    batch_size: int = Field(256, ge=1, description="Titles at once.")
    shard_items: int = Field(1000, ge=1, description="Items a shard: what an interruption may cost.")
    risk_aversion: float = Field(1.0, ge=0, description="Standard deviations of the title's effect taken off.")
    confidence: float = Field(
        0.8, ge=0.5, lt=1, description="Chance of being better at which a title replaces the item's current one."
    )
    keep_current: bool = Field(True, description="Keep a current title that no new one beats (with one title an item).")


class TextConfig(StageConfig):
    """``evaluate-text``: titles against references and their items."""

    section: ClassVar[str] = "text"

    references: str | None = Field(None, description="Column with the reference of each title; none: there are none.")
    draws: int = Field(1000, ge=100, description="Bootstrap draws of the items.")


class SimulateConfig(StageConfig):
    """``simulate``: logs of a shop that does not exist, with known truth."""

    section: ClassVar[str] = "simulate"

    items: int = Field(2000, ge=1, description="Items in the shop.")
    impressions: int = Field(1_000_000, ge=1, description="Impressions in the logs.")
    locale: Literal["en", "zh"] = Field("en", description="Language of the shop.")
    rows: Literal["impressions", "arms"] = Field("impressions", description="One row an impression, or an arm.")


STAGES: dict[str, type[StageConfig]] = {
    model.section: model
    for model in (
        RewardConfig,
        SftConfig,
        PpoConfig,
        EvalConfig,
        CompareConfig,
        RulesConfig,
        GenerateConfig,
        TextConfig,
        SimulateConfig,
    )
}
LOG_KEYS = ("columns", "exclude")
ConfigT = TypeVar("ConfigT", bound=StageConfig)


def load(
    model: type[ConfigT],
    path: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    preset: Mapping[str, Any] | None = None,
) -> ConfigT:
    """Settings of one stage.

    Parameters
    ----------
    model
        The stage's config class.
    path
        YAML preset with a section a stage, or None.
    overrides
        Field -> value from flags; None means "not given".
    preset
        The sections ``fit-reward`` kept in the run (`Run.preset`).

    Raises
    ------
    ConfigError
        For an unreadable file, unknown keys or values out of range: everything that is wrong, in one message.
    """
    values: dict[str, Any] = {}
    for sections in (preset or {}, read_preset(path) if path is not None else {}):
        for section in _sections(model):
            values.update(sections.get(section) or {})
    values.update({name: value for name, value in (overrides or {}).items() if value is not None})
    problems = _problems(model, values)
    if problems:
        where = f" in {path}" if path is not None else ""
        raise ConfigError(f"Settings of '{model.section}'{where}: {'; '.join(problems)}.")
    return model(**values)


def _sections(model: type[StageConfig]) -> list[str]:
    """The model's section, after those of the models it extends (``generate`` goes before ``constraints``)."""
    return [vars(base)["section"] for base in reversed(model.__mro__) if "section" in vars(base)]


def read_preset(path: str | Path) -> dict[str, Any]:
    """A YAML preset with every section checked.

    Parameters
    ----------
    path
        The file: ``columns``, ``exclude`` and one section a stage (`STAGES`).

    Raises
    ------
    ConfigError
        When the file is missing, is no YAML, or holds an unknown section, key or value.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no config file {path}.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"Config file {path} cannot be read: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    known = (*LOG_KEYS, *STAGES)
    if not isinstance(content, dict):
        raise ConfigError(f"Config file {path} must hold sections ({', '.join(known)}). Got {content!r:.60}.")
    problems = [f"{key!r} is not a section{_suggest(str(key), known)}" for key in content if key not in known]
    problems += [
        f"{key} must hold 'name: value' lines. Got {content[key]!r:.60}"
        for key in LOG_KEYS
        if not isinstance(content.get(key) or {}, dict)
    ]
    for section, config in STAGES.items():
        values = content.get(section)
        if values is not None and not isinstance(values, dict):
            problems.append(f"{section} must hold settings as 'name: value'. Got {values!r:.60}")
        elif values:
            problems += [f"{section}.{problem}" for problem in _problems(config, values)]
    if problems:
        raise ConfigError(f"Config file {path}: {'; '.join(problems)}.")
    return content


def _problems(model: type[StageConfig], values: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``values``, one phrase each."""
    try:
        model(**{str(key): value for key, value in values.items()})
    except ValidationError as error:
        return [_phrase(model, detail) for detail in error.errors()]
    return []


def _phrase(model: type[StageConfig], detail: Any) -> str:
    name = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{name} is not a setting{_suggest(name, tuple(model.model_fields))}"
    rule = detail["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{name} must be {rule}. Got {detail['input']!r:.60}"


def _suggest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else f" (known: {', '.join(known)})"
