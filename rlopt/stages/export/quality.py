"""Cost and quality of an exported policy, beside the one it came from."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.features.lexicon import Lexicon
from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt import threads
from rlopt.config import ExportConfig, RewardConfig
from rlopt.policy.text_metrics import BootstrapMean, bootstrap_mean, item_draws, nearest_reference
from rlopt.policy.title_policy import TitlePolicy, read_alike
from rlopt.progress import track
from rlopt.run import Run
from rlopt.stages.common.monitor import monitor_items
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.policies import load_policy
from rlopt.stages.common.titles import Written, write_titles

MEASURED_SHARE = 0.25  # of the train items at most
DRAWS = 1000
SPEED_TITLES = 256
SPEED_TITLES_LARGE = 32  # of large models
SPEED_SECONDS = 20.0  # no further round after so long
SPEED_ROUNDS = 3


@dataclass(frozen=True)
class Measured:
    """One row of the table.

    Parameters
    ----------
    name
        The policy.
    megabytes
        Of the weights on disk, in millions of bytes.
    parameters
        Number of weights.
    titles_per_second
        On this machine, in batches; the best of some rounds.
    reward
        Mean predicted reward of its titles.
    faithfulness
        Share of titles that say something, and nothing their item does not state; None where no claims are checked.
    chrf
        Mean over titles of the chrF to the nearest of the item's logged titles, in [0, 1].
    kl
        Nats a title from the policy it came from; None where the two have different tokens or prompts.
    """

    name: str
    megabytes: float
    parameters: int
    titles_per_second: float
    reward: BootstrapMean
    faithfulness: BootstrapMean | None
    chrf: BootstrapMean
    kl: BootstrapMean | None


def items_to_measure_on(run: Run, train: Arms, config: ExportConfig) -> Arms:
    """Train items that nothing in the export learns from; the monitor's, which the reward has not seen, come first.

    The policy that is exported may have learned their titles: chrF, the nearness to these, is then more than on new
    items for what keeps its weights, and not for what is distilled.
    """
    settings = run.record("fit-reward")["config"]
    share = settings.get("monitor_share", RewardConfig().monitor_share)
    unseen = set(monitor_items(train, share, settings["seed"]))
    shuffled = np.random.default_rng([config.seed, 2]).permutation(len(train.items))
    ids = sorted((train.items[i].item_id for i in shuffled), key=lambda item_id: item_id not in unseen)
    return train.of_items(set(ids[: min(config.items, max(1, int(MEASURED_SHARE * len(ids))))]))


def measure(
    opened: OpenedRun, arms: Arms, rows: Sequence[tuple[str, Path]], config: ExportConfig, cache: Path
) -> list[Measured]:
    """One row of the table for each name and folder; the first is the policy the others came from.

    Parameters
    ----------
    opened
        The run, whose reward predicts, and whose train titles say which words any title may use.
    arms
        Items to measure on, with their logged titles.
    cache
        Folder in which written titles are kept, so that an interrupted measurement goes on.
    """
    policies = [load_policy(folder) for _, folder in rows]
    model, lexicon = opened.reward, opened.constraints.lexicon
    speed = speeds(policies, arms.items, config.seed)
    draws = item_draws(len(arms.items), DRAWS, config.seed)
    out = []
    with track("Measuring", len(policies) * len(arms.items) * config.samples) as bar:
        for number, policy in enumerate(policies):
            written = write_titles(
                "export",  # one seed for all: with the same tokens, the same random numbers
                policy,
                arms.items,
                config.samples,
                temperature=1.0,
                seed=config.seed,
                cache=cache / f"measured-{number}.jsonl",
                bar=bar,
            )
            columns = {
                **about_titles(written, arms, model, lexicon),
                "kl": _kl(policy, policies[0], [arms.items[i] for i in written.item], written),
            }
            found = {
                key: None if values is None else bootstrap_mean(values, written.item, draws)
                for key, values in columns.items()
            }
            name, folder = rows[number]
            size = sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6
            out.append(Measured(name, size, policy.model.num_parameters(), speed[number], **found))  # type: ignore[arg-type]
    return out


def about_titles(
    written: Written, arms: Arms, model: RewardModel, lexicon: Lexicon | None
) -> dict[str, FloatArray | None]:
    """``reward``, ``faithfulness`` and ``chrf`` of each title, shape (n,); see `Measured`."""
    owners = [arms.items[i] for i in written.item]
    return {
        "reward": np.asarray(model.predict(owners, written.title).reward, dtype=np.float64),
        "faithfulness": _faithful(lexicon, owners, written.title),
        "chrf": _nearest_chrf(arms, written),
    }


def speeds(policies: Sequence[TitlePolicy], items: Sequence[Item], seed: int) -> list[float]:
    """Titles a second of each policy: its best round, rounds of all taking turns.

    With one compute thread seconds are those of the processor, which other programs on the machine do not stretch.
    """
    one_thread = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    clock = time.process_time if one_thread else time.monotonic
    best = [0.0] * len(policies)
    large = any(policy.model.num_parameters() >= threads.SMALL_MODEL for policy in policies)
    batch = [items[i % len(items)] for i in range(SPEED_TITLES_LARGE if large else SPEED_TITLES)]
    began = time.monotonic()
    for policy in policies:
        policy.generate(items[:1], seed=seed)  # excludes the set-up of the first call
    for number in range(SPEED_ROUNDS):
        for k, policy in enumerate(policies):
            start = clock()
            policy.generate(batch, seed=seed + number)
            best[k] = max(best[k], len(batch) / (clock() - start))
        if time.monotonic() - began > SPEED_SECONDS:
            break
    return best


def _faithful(lexicon: Lexicon | None, items: Sequence[Item], titles: Sequence[str]) -> FloatArray | None:
    if lexicon is None:
        return None
    pairs = zip(items, titles, strict=True)
    return np.array([float(bool(title) and not lexicon.unstated_words(item, title)) for item, title in pairs])


def _nearest_chrf(arms: Arms, written: Written) -> FloatArray:
    """ChrF of each title to that logged title of its item which is nearest, shape (n,)."""
    logged: dict[int, list[str]] = {}
    for item, title in zip(arms.item_index.tolist(), arms.title, strict=True):
        logged.setdefault(item, []).append(str(title))
    return nearest_reference(written.title, [logged[item] for item in written.item.tolist()], "chrf")


def _kl(policy: TitlePolicy, origin: TitlePolicy, items: Sequence[Item], written: Written) -> FloatArray | None:
    """KL(policy || origin) along the written titles in nats, shape (n,)."""
    return policy.kl_to(origin, items, written.tokens) if read_alike(policy, origin) else None
