"""Settings of the stages that learn: ``fit-reward``, ``sft`` and ``ppo``."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from .base import StageConfig

TITLES_MAX_TOKENS = 48


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
    assignment: Literal["randomized", "logged", "unknown"] | None = Field(
        None,
        description="How titles were chosen: at random within an item, given what the logs record of the impression; "
        "with logged propensities; or nobody knows. None: logged where propensities are, else unknown, and then no "
        "verdict says launch.",
    )
    conversions_complete: bool = Field(
        False, description="All conversions of these clicks have come in: none is still to come."
    )
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
    task: Literal["generate", "optimize"] = Field(
        "generate", description="Write a title from the item, or a better one than the current title it has."
    )
    shots: int | None = Field(
        None, ge=0, description="Train nothing: ask the model with so many examples of like train items; 0: with none."
    )
    instruction: str | None = Field(
        None, description="First line of a pretrained model's prompt; none: one that says the task."
    )
    chat: bool = Field(False, description="Prompts in the model's chat template (instruct models).")
    fields: tuple[str, ...] = Field((), description="Fields shown to a pretrained model, in this order; none: all.")
    max_field_chars: int = Field(400, ge=1, description="Longer fields are cut in a pretrained model's prompt.")
    learn: Literal["full", "head", "last-n", "lora", "adalora", "ia3", "prefix"] = Field(
        "full", description="What learns: all weights, the output layer, it and the last blocks, adapters, a prefix."
    )
    last_n: int = Field(2, ge=1, description="Blocks that learn with `last-n`.")
    lora_rank: int = Field(16, ge=1, description="Rank of the LoRA adapters.")
    prefix_length: int = Field(32, ge=1, description="Virtual tokens of a `prefix`.")
    steps: int | None = Field(None, ge=1, description="Optimiser steps; none: as many as `epochs` needs.")
    epochs: float = Field(2.0, gt=0, description="Passes over the titles.")
    batch_size: int = Field(32, ge=1, description="Titles a step.")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="Optimiser.")
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Peak learning rate; none: by what learns and from where (`training/learning_rates.py`).",
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="What the learning rate does after it has warmed up over 5 % of the steps."
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout while learning, wherever the model has it.")
    shuffle_fields: bool = Field(False, description="Learn altered copies too: the item's fields in another order.")
    drop_fields: float = Field(
        0.0, ge=0, lt=1, description="Share of the fields that the copies leave out; never what the title mentions."
    )
    variants: str | None = Field(None, description="File of words that mean the same, a=b a line, for the copies.")
    copies: int = Field(1, ge=1, le=20, description="Altered copies a title, where any alteration is asked for.")
    back_translation: tuple[str, str] | None = Field(
        None, description="Two sequence-to-sequence models, there and back: titles in other words are learned too."
    )
    weight_by: Literal["none", "reward"] = Field(
        "none", description="Titles count in the loss by the reward model's prediction, or all alike."
    )
    early_stopping: int | None = Field(
        None,
        ge=1,
        description="Stop after so many checkpoints without a lower loss on held-out train items; keep the best.",
    )
    held_out: float = Field(0.1, gt=0, lt=1, description="Share of train items held out for early stopping.")
    max_title_tokens: int = Field(TITLES_MAX_TOKENS, ge=4, description="Longest title, in tokens.")
    save_every: int = Field(100, ge=1, description="Steps between checkpoints, and between looks at held-out items.")
    report_to: tuple[str, ...] = Field((), description="Trackers beside the JSON lines: tensorboard, wandb, trackio.")

    def files(self) -> list[str]:
        """The lexicon of variants."""
        return [self.variants] if self.variants is not None else []


class PpoConfig(StageConfig):
    """``ppo``: proximal policy optimisation against the reward, with a KL penalty to the SFT policy."""

    section: ClassVar[str] = "ppo"

    algorithm: Literal["ppo", "grpo", "rloo"] = Field("ppo", description="PPO, or a rival without a critic.")
    steps: int = Field(2000, ge=1, description="Updates.")
    batch_size: int = Field(64, ge=1, description="Titles an update.")
    generations: int | None = Field(
        None, ge=1, description="Titles an item in a batch; none: 1 for PPO, 8 for GRPO and RLOO."
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="Learning rate at the start, falling linearly to zero; none: 2e-4, or 1e-5 where all "
        "weights of a pretrained model learn.",
    )
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
    minibatches: int = Field(
        1, ge=1, description="Updates a pass: so many times `batch_size` titles are written at once, and split."
    )
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
    learn: Literal["auto", "full", "head", "last-n", "lora", "adalora", "ia3"] = Field(
        "auto", description="What learns, as `sft` names it; auto: as in `sft`."
    )
    last_n: int = Field(2, ge=1, description="Blocks that learn with `last-n`.")
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
