"""Settings of the stages that learn: ``fit-reward``, ``sft`` and ``ppo``."""

from typing import Any, ClassVar, Literal

from reward.assignment import Assignment
from reward.encoders.packaged import ENCODERS
from rlopt.algorithms import ALGORITHMS, DEFAULT, AlgorithmName

from .base import StageConfig, setting

TITLES_MAX_TOKENS = 48


class RewardConfig(StageConfig):
    """``fit-reward``: reading the logs, splitting the items, the reward model and the judge."""

    section: ClassVar[str] = "reward"

    judge_share: float = setting(
        0.2, "Share of the items that only the judge learns from; the judge grades the policy later.", ge=0, lt=1
    )
    test_share: float = setting(
        0.2, "Share of the items kept for offline-eval. More items give narrower intervals.", ge=0, lt=1
    )
    time_split: bool = setting(
        False, "Use the newest items as test items instead of random ones (needs timestamps).", flag="--time-split"
    )
    monitor_share: float = setting(
        0.1, "Share of train items for the monitor, which PPO watches but never optimises.", ge=0, le=0.5
    )
    members: int = setting(
        5,
        "Models in the ensemble, each fitted on a bootstrap of the items. Their spread is the reward's uncertainty.",
        ge=1,
        le=100,
    )
    encoder: str | None = setting(
        None,
        f"Text encoder for titles of free words: {', '.join(ENCODERS)}, policy (the run's own), a path or hub id. "
        "+ joins several.",
        metavar="NAME",
    )
    click_weight: float = setting(1.0, "Value of a click in the reward.", ge=0)
    conversion_weight: float = setting(0.0, "Value of a conversion in the reward, beside that of the click.", ge=0)
    revenue_weight: float = setting(0.0, "Value of one unit of revenue in the reward, beside that of the click.", ge=0)
    assignment: Assignment | None = setting(
        None,
        "How titles were chosen: at random within an item (randomized), by the logs' propensities "
        "(logged), or unknown, with which no verdict says launch. By default logged if there are "
        "propensities, else unknown.",
    )
    observational: bool = setting(
        False,
        "For logs with one title per item: learn from differences between items. No verdict says "
        "launch then (docs/one-title.md).",
        flag="--observational",
    )
    conversions_complete: bool = setting(
        False, "Declare that all conversions of these clicks have come in.", flag="--conversions-complete"
    )
    conversion_window_hours: float | None = setting(
        None, "Conversions later than this after the click do not count.", gt=0
    )
    engine: Literal["local", "dask"] = setting(
        "local", "Where to aggregate the logs and train the trees: in this process, or on a Dask cluster."
    )
    half_life_days: float | None = setting(
        None, "Age in days at which evidence counts half, if tastes change (needs timestamps).", gt=0
    )
    learning_curve: bool = setting(True, "Measure the learning curve: the model's accuracy with fewer items.")
    decimal: Literal[".", ","] | None = setting(
        None, "Decimal mark of numbers written as text.", none="found from the column"
    )
    missing: tuple[str, ...] = setting(
        (),
        "Text or number that stands for a missing value in columns that describe items, beside the usual N/A, null ...",
        metavar="TEXT",
    )
    plan: tuple[str, ...] = setting(
        (),
        "Plan of rlopt explore that produced LOGS: its probabilities are the propensities. With "
        "several plans, name the batch of each (a value of the column batch, or its first day, "
        "UTC).",
        metavar="[BATCH=]FILE",
    )
    copies: Literal["stop", "keep"] = setting(
        "stop", "If the logs hold files, rows or totals twice: stop, or keep and count them."
    )
    event_id: str | None = setting(
        None,
        "Column with the id of the event: of rows with the same id, item and title, only one counts.",
        metavar="COLUMN",
        none="event_id or impression_id, if there is one",
    )
    memory_limit: str = setting(
        "1GB",
        "Most memory that reading the logs may take, such as 2GB.",
        metavar="SIZE",
        pattern=r"^\d+(\.\d+)?\s*[KMGT]i?B$",
    )


class SftConfig(StageConfig):
    """``sft``: the supervised policy, which is also PPO's reference and the evaluation's baseline."""

    section: ClassVar[str] = "sft"

    model: str | None = setting(
        None,
        "Causal language model to start from: a folder, a hub id, or smollm2 (extra [smollm2]).",
        none="a tiny one trained from scratch on your titles",
        metavar="ID_OR_PATH",
    )
    gguf_file: str | None = setting(
        None, "The GGUF file in the model's folder, if the model comes as one.", metavar="NAME"
    )
    task: Literal["generate", "optimize"] = setting(
        "generate", "generate: write titles from items. optimize: rewrite the items' current titles into better ones."
    )
    shots: int | None = setting(
        None,
        "Train nothing, but prompt the model with K examples of similar train items (0: with none).",
        metavar="K",
        ge=0,
    )
    instruction: str | None = setting(
        None, "First line of a pretrained model's prompt.", none="one that states the task"
    )
    chat: bool = setting(False, "Prompts in the model's chat template (instruct models).")
    fields: tuple[str, ...] = setting((), "Fields shown to a pretrained model, in this order; none: all.")
    max_field_chars: int = setting(400, "Longer fields are cut in a pretrained model's prompt.", ge=1)
    learn: Literal["full", "head", "last-n", "lora", "adalora", "ia3", "prefix"] = setting(
        "full",
        "Weights that learn: all, the output layer (head), that and the last blocks (last-n), "
        "adapters, or a prefix. Fewer need less memory.",
    )
    last_n: int = setting(2, "Number of blocks that learn with --learn last-n.", ge=1)
    lora_rank: int = setting(
        16, "Rank of the LoRA or AdaLoRA adapters: higher ranks learn more and need more memory.", ge=1
    )
    prefix_length: int = setting(32, "Virtual tokens of a prefix.", ge=1)
    steps: int | None = setting(None, "Optimiser steps, instead of --epochs.", none="as many as the epochs need", ge=1)
    epochs: float = setting(2.0, "Passes over the titles.", gt=0)
    batch_size: int = setting(32, "Titles per step; less memory with fewer.", ge=1)
    optimizer: Literal["adamw", "sgd"] = setting("adamw", "Optimiser.")
    learning_rate: float | None = setting(
        None, "Peak learning rate.", none="depends on the model and on what learns", gt=0
    )
    schedule: Literal["cosine", "linear", "constant"] = setting(
        "cosine", "Learning-rate schedule after a warm-up over 5% of the steps."
    )
    weight_decay: float = setting(0.01, "Weight decay (not of norms and biases).", ge=0)
    dropout: float = setting(0.0, "Dropout during training, in every dropout layer of the model.", ge=0, lt=1)
    shuffle_fields: bool = setting(False, "Also learn altered copies with the item's fields in another order.")
    drop_fields: float = setting(
        0.0,
        "Also learn altered copies without this share of the fields; a field that the title mentions stays.",
        ge=0,
        lt=1,
    )
    variants: str | None = setting(
        None, "Also learn altered copies with other words: a file with one sofa=couch per line.", metavar="FILE"
    )
    copies: int = setting(1, "Altered copies of each title, if you ask for any alteration.", ge=1, le=20)
    back_translation: tuple[str, str] | None = setting(
        None, "Two translation models, there and back: also learn titles in other words."
    )
    weight_by: Literal["none", "reward"] = setting(
        "none", "Weight of a title in the loss: equal (none), or by its predicted reward."
    )
    early_stopping: int | None = setting(
        None,
        "Stop after N checkpoints without a lower loss on held-out train items, and keep the best.",
        metavar="N",
        ge=1,
    )
    held_out: float = setting(0.1, "Share of train items held out for early stopping.", gt=0, lt=1)
    max_title_tokens: int = setting(TITLES_MAX_TOKENS, "Longest title, in tokens.", ge=4)
    save_every: int = setting(100, "Steps between checkpoints, and between evaluations on held-out items.", ge=1)
    report_to: tuple[str, ...] = setting(
        (), "Tracker that also gets the metrics: tensorboard, wandb, trackio, mlflow.", metavar="TRACKER"
    )

    def files(self) -> list[str]:
        """The lexicon of variants."""
        return [self.variants] if self.variants is not None else []


class PpoConfig(StageConfig):
    """``ppo``: proximal policy optimisation against the reward, with a KL penalty to the SFT policy."""

    section: ClassVar[str] = "ppo"

    algorithm: AlgorithmName = setting(
        DEFAULT.name, "PPO, or a rival trained on the same reward; each writes to a folder with its name."
    )
    steps: int = setting(2000, "Updates, the length of the training.", ge=1)
    batch_size: int = setting(64, "Titles written per update.", ge=1)
    generations: int | None = setting(
        None,
        "Titles per item in a batch; GRPO and RLOO compare these with each other.",
        none=", ".join(f"{one.generations} for {one.label}" for one in ALGORITHMS.values()),
        ge=1,
    )
    learning_rate: float | None = setting(
        None,
        "Learning rate at the start, falling linearly to zero.",
        none="2e-4, or 1e-5 if all weights of a pretrained model learn",
        gt=0,
    )
    kl_coef: float = setting(
        0.1,
        "Weight of the KL penalty, in standard deviations of the reward per nat: higher keeps the "
        "policy closer to SFT.",
        ge=0,
    )
    kl_last_coef: float = setting(
        0.1, "With --update: weight of the KL penalty to the last policy, in addition to the one to SFT.", ge=0
    )
    replay: float = setting(
        0.3,
        "With --update: share of each batch from items that the new logs do not show, against forgetting.",
        ge=0,
        le=1,
    )
    kl_target: float | None = setting(
        3.5,
        "KL to the SFT policy, in nats per title, above which --kl-coef grows (null in a preset: it stays fixed).",
        gt=0,
    )
    gamma: float = setting(1.0, "Discount per token.", gt=0, le=1)
    gae_lambda: float = setting(0.95, "GAE's lambda (Schulman et al. 2016).", ge=0, le=1)
    clip: float = setting(0.2, "Clip range of the probability ratio.", gt=0, lt=1)
    value_clip: float | None = setting(None, "Clip range of the critic's values.", none="not clipped", gt=0)
    whiten: bool = setting(True, "Scale advantages to mean 0 and variance 1 in each batch.")
    entropy_coef: float = setting(0.0, "Weight of the entropy bonus.", ge=0)
    epochs: int = setting(1, "Passes over each batch of rollouts.", ge=1)
    minibatches: int = setting(1, "Updates a pass: N batches of titles are written at once, and split.", ge=1)
    critic: Literal["head", "own"] = setting("head", "Critic: a head on the frozen reference, or a model of its own.")
    critic_learning_rate: float = setting(3e-3, "The critic's own learning rate.", gt=0)
    critic_epochs: int = setting(8, "Passes of the critic over each batch of rollouts.", ge=1)
    critic_warmup: int = setting(
        10, "First updates, in which only the critic learns; at most a twentieth of all.", ge=0
    )
    monitor: bool = setting(
        True, "Watch a reward model fitted on other items: when it falls, stop and return to its peak."
    )
    monitor_every: int = setting(5, "Updates between two evaluations by the monitor.", ge=1)
    learn: Literal["auto", "full", "head", "last-n", "lora", "adalora", "ia3"] = setting(
        "auto", "Weights that learn, as in rlopt sft --learn; auto: the same as there."
    )
    last_n: int = setting(2, "Number of blocks that learn with --learn last-n.", ge=1)
    lora_rank: int = setting(16, "Rank of the LoRA adapters: higher ranks learn more and need more memory.", ge=1)
    peft_config: dict[str, Any] | None = setting(
        None, "Any other adapters, by peft's own names: peft_type (LOHA, OFT ...) and its settings."
    )
    bf16: bool | None = setting(None, "Compute in bfloat16.", none="on a GPU that supports it")
    gradient_checkpointing: bool | None = setting(
        None, "Recompute activations to save memory; training takes longer.", none="for large models on a GPU"
    )
    vllm: Literal["off", "colocate", "server"] = setting("off", "Let vLLM write the rollouts (needs the package vllm).")
    risk_aversion: float = setting(
        1.0, "Caution: how many standard deviations of its uncertainty to subtract from a title's effect.", ge=0
    )
    temperature: float = setting(1.0, "Sampling temperature of rollouts.", gt=0)
    save_every: int = setting(100, "Updates between checkpoints, from which an interrupted training resumes.", ge=1)
    report_to: tuple[str, ...] = setting(
        (), "Tracker that also gets the metrics: tensorboard, wandb, trackio, mlflow.", metavar="TRACKER"
    )
