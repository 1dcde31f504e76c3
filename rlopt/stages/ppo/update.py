"""``rlopt ppo --update``: the last policy goes on learning after ``fit-reward --update``."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reward.arrays import BoolArray, FloatArray, IntArray
from reward.plain import JsonObject
from rlopt.algorithms import DEFAULT
from rlopt.config import PpoConfig
from rlopt.errors import PolicyError
from rlopt.files import fingerprint
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import DATA, Run
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.parts import lineage, load_parts
from rlopt.stages.common.policies import load_policy

STANDS_ON = "stands_on"  # in the notes of a training: what an update has to find unchanged
MEASURED_ITEMS = 256
BATCH = 64


def stands_on(run: Run) -> JsonObject:
    """Facts that a later update of this training needs: its logs, their splits, its reference."""
    return {"logs": len(load_parts(run / DATA)), "sides": lineage(run), "sft": _content(run, "sft")}


def check_update(run: Run, config: PpoConfig) -> None:
    """Refuse to go on where there is nothing to go on from, or the items' sides or the reference are others by now.

    Raises
    ------
    StageOrderError
        Without an earlier training.
    PolicyError
        For another algorithm, after a new fit, or with another SFT policy.
    """
    if config.algorithm != DEFAULT.name:
        raise PolicyError(f"--update goes on with PPO's policy, not with {config.algorithm}. Leave --algorithm out.")
    stages = run.manifest["stages"]
    if config.algorithm not in stages:
        run.require(config.algorithm)
    before = stages[config.algorithm]["notes"].get(STANDS_ON)
    if before is None or before["sides"] != lineage(run):
        raise PolicyError(
            f"The reward of run {run.path} was refitted since PPO, so that items may have changed sides, and a "
            "policy that goes on would be judged on items it learned from. Retrain: rlopt ppo without --update."
        )
    if before["sft"] != _content(run, "sft"):
        raise PolicyError(
            f"The SFT policy of run {run.path} is another one since PPO, which was held to the old one. Retrain: "
            "rlopt ppo without --update."
        )


def keep_sft(run: Run) -> None:
    """Let the SFT policy stand, after the reward it stood on was updated: it stays what PPO is held to."""
    if run.done("sft"):
        return
    before = run.manifest["stages"]["sft"]
    with run.stage("sft", before["config"], before["inputs"]) as record:
        record.notes.update(before["notes"])


@dataclass(frozen=True)
class GoneOn:
    """A training that goes on.

    Parameters
    ----------
    last, sft
        The policies that it is held to: the one it goes on from, and the SFT policy.
    replayed
        Mask of the train items that logs since then do not show, shape (n_items,).
    known
        Mask of the train items that the last training knew, shape (n_items,).
    """

    last: TitlePolicy
    sft: TitlePolicy
    replayed: BoolArray
    known: BoolArray

    @classmethod
    def of(cls, opened: OpenedRun) -> "GoneOn":
        """Starting point of an update of the run's policy."""
        run = opened.run
        before = run.manifest["stages"][DEFAULT.name]["notes"][STANDS_ON]
        parts, ids = load_parts(run / DATA), [item.item_id for item in opened.train_arms.items]
        old, new = (
            {item.item_id for part in some for item in part.items}
            for some in (parts[: before["logs"]], parts[before["logs"] :])
        )
        known = np.array([item_id in old for item_id in ids])
        shown = np.array([item_id in new for item_id in ids])
        return cls(load_policy(run / DEFAULT.name), load_policy(run / "sft"), known & ~shown, known)

    def forgetting(self, after: TitlePolicy, opened: OpenedRun, baseline: FloatArray, seed: int) -> dict[str, Any]:
        """Predicted lift, and KL to SFT, of the last policy and of ``after`` on the same earlier items.

        Those that the new logs do not show, or, where they show all, those that the last training knew.
        """
        rows = np.flatnonzero(self.replayed if self.replayed.any() else self.known)
        chosen = np.sort(np.random.default_rng(seed).permutation(rows)[:MEASURED_ITEMS])
        found: dict[str, Any] = {"earlier_items": len(chosen)}
        for when, policy in (("before", self.last), ("after", after)):
            lift, kl = self._measured(policy, opened, baseline, chosen, seed)
            found |= {f"earlier_lift_{when}": lift, f"earlier_kl_{when}": kl}
        return found

    def _measured(
        self,
        policy: TitlePolicy,
        opened: OpenedRun,
        baseline: FloatArray,
        chosen: IntArray,
        seed: int,
    ) -> tuple[float, float]:
        items = [opened.train_arms.items[i] for i in chosen]
        titles = [title for (title,) in policy.generate(items, 1, seed=seed, batch_size=BATCH)]
        reward = opened.reward.predict(items, [title.text for title in titles]).reward
        kl = policy.kl_to(self.sft, items, [title.token_ids for title in titles])
        return float((reward / baseline[chosen] - 1.0).mean()), float(kl.mean())


def _content(run: Run, policy: str) -> str:
    """Fingerprint of a policy of the run, its card apart."""
    return fingerprint(run / policy, without=("README.md",))
