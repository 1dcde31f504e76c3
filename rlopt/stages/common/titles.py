"""Titles for items: written by policies in chunks that survive an interruption, or taken from the logs."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reward.arms import Arms
from reward.arrays import BoolArray, FloatArray, IntArray
from reward.items import Item
from rlopt.files import JsonlWriter
from rlopt.ope.diagnostics import KlEstimate, kl_divergence
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import ProgressBar

CHUNK = 64  # items a file line; what an interruption may cost


@dataclass(frozen=True)
class Written:
    """Titles of one policy, arrays of shape (n,).

    Parameters
    ----------
    policy
        "ppo", "sft", "best_of" or "logged".
    item
        Position of each title's item among the test items.
    title
        The texts.
    log_prob
        In nats under the policy that wrote it; NaN where nothing sampled it.
    finished
        False where the length limit cut it off.
    tokens
        Sampled tokens, empty where nothing sampled it.
    """

    policy: str
    item: IntArray
    title: list[str]
    log_prob: FloatArray
    finished: BoolArray
    tokens: list[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.title)

    @property
    def place(self) -> IntArray:
        """Place of each title among those of its item, which stand together (`write_titles`), from 0, shape (n,)."""
        return np.arange(len(self)) - np.searchsorted(self.item, self.item)

    def first(self, n: int, policy: str) -> "Written":
        """The first ``n`` titles of each item, under another name."""
        return self.take(self.place < n, policy)

    def take(self, rows: IntArray | BoolArray, policy: str) -> "Written":
        """These titles only, under another name."""
        positions = np.arange(len(self))[rows]
        return Written(
            policy,
            self.item[positions],
            [self.title[i] for i in positions],
            self.log_prob[positions],
            self.finished[positions],
            [self.tokens[i] for i in positions],
        )


def logged_titles(arms: Arms) -> Written:
    """The titles of the logs as `Written`, in the order of ``arms``."""
    n = len(arms)
    return Written(
        "logged",
        arms.item_index,
        [str(title) for title in arms.title],
        np.full(n, np.nan),
        np.ones(n, dtype=bool),
        [()] * n,
    )


def write_titles(
    name: str,
    policy: TitlePolicy,
    items: Sequence[Item],
    n: int,
    *,
    temperature: float,
    seed: int,
    cache: Path,
    bar: ProgressBar,
) -> Written:
    """``n`` titles per item by one policy.

    Every chunk of items has a seed of its own and is kept in ``cache`` once written, so that an interrupted
    evaluation goes on where it was and ends with the same titles.
    """
    log = JsonlWriter(cache)
    done = {row["chunk"]: row["titles"] for row in log.rows()}
    rows: list[tuple[int, str, float, bool, tuple[int, ...]]] = []
    for chunk, start in enumerate(range(0, len(items), CHUNK)):
        part = items[start : start + CHUNK]
        if chunk not in done:
            generated = policy.generate(part, n, temperature=temperature, seed=_seed(seed, name, chunk))
            done[chunk] = [
                [[t.text, t.log_prob, t.finished, list(t.token_ids)] for t in titles] for titles in generated
            ]
            log.write({"chunk": chunk, "titles": done[chunk]})
        bar.update(len(part) * n)
        rows += [_row(start + i, title) for i, titles in enumerate(done[chunk]) for title in titles]
    return Written(
        name,
        np.array([row[0] for row in rows], dtype=np.int64),
        [row[1] for row in rows],
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array([row[3] for row in rows], dtype=bool),
        [row[4] for row in rows],
    )


def best_of_each_item(candidates: Written, value: FloatArray, policy: str) -> Written:
    """Each item's candidate with the highest ``value``, shape (n,), under another name; of equal ones the first."""
    order = np.lexsort((-value, candidates.item))
    first = np.r_[True, np.diff(candidates.item[order]) > 0]
    return candidates.take(order[first], policy)


def kl_to_sft(
    policy: TitlePolicy, sft: TitlePolicy, written: Written, items: Sequence[Item], temperature: float
) -> KlEstimate:
    """KL of a policy to the SFT policy along the titles it wrote."""
    owners = [items[i] for i in written.item]
    path_kl = policy.kl_to(sft, owners, written.tokens, temperature=temperature)
    reference = sft.log_prob_of_tokens(owners, written.tokens, temperature=temperature)
    return kl_divergence(path_kl, written.log_prob, reference, written.item)


def _row(item: int, title: Sequence[Any]) -> tuple[int, str, float, bool, tuple[int, ...]]:
    text, log_prob, finished, tokens = title
    return item, text, log_prob, finished, tuple(tokens)


def _seed(seed: int, name: str, chunk: int) -> int:
    """One seed for each policy and chunk."""
    stream = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest())
    return int(np.random.SeedSequence([seed, stream, chunk]).generate_state(1)[0])
