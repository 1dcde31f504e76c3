"""Candidates for evaluation: a policy of the run, a policy from elsewhere, or titles from anywhere."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from reward.text import same_text_key
from rlopt.config import EvalConfig
from rlopt.ope.diagnostics import KlEstimate
from rlopt.policy.title_policy import TitlePolicy, read_alike
from rlopt.progress import ProgressBar
from rlopt.run import Run
from rlopt.stages.common.columns import titles_of
from rlopt.stages.common.known_ids import check_known
from rlopt.stages.common.policies import load_policy
from rlopt.stages.common.title_source import TitleSource
from rlopt.stages.common.titles import Written, kl_to_sft, write_titles


class Candidate(Protocol):
    """Candidate as an evaluation needs it; ``name`` is that of the source."""

    @property
    def name(self) -> str:
        """Name in the report."""

    def covers(self, item_id: str) -> bool:
        """True if it has a title for the item."""

    def write(self, test: Arms, config: EvalConfig, cache: Path, bar: ProgressBar) -> Written:
        """Its titles for the test items."""

    def log_prob(self, test: Arms, temperature: float) -> FloatArray:
        """Log-probability in nats of each logged title, shape (n_arms,); -inf for one that it never writes.

        ``temperature`` is what its titles are sampled at.
        """

    def kl_to(self, sft: TitlePolicy, written: Written, items: Sequence[Item], temperature: float) -> KlEstimate | None:
        """Its distance from the SFT policy along its own titles; None where it is not known."""


@dataclass(frozen=True)
class PolicyCandidate:
    """A title policy, loaded when it is first asked for a title."""

    name: str
    folder: Path

    @cached_property
    def policy(self) -> TitlePolicy:
        """The policy in ``folder``."""
        return load_policy(self.folder)

    def covers(self, item_id: str) -> bool:
        """True: it writes for every item."""
        return True

    def write(self, test: Arms, config: EvalConfig, cache: Path, bar: ProgressBar) -> Written:
        """Sampled titles; ``config.samples`` an item."""
        return write_titles(
            self.name,
            self.policy,
            test.items,
            config.samples,
            temperature=config.temperature,
            seed=config.seed,
            cache=cache / f"{self.name}.jsonl",
            bar=bar,
        )

    def log_prob(self, test: Arms, temperature: float) -> FloatArray:
        """The policy's own."""
        return self.policy.log_prob(test.arm_items, list(test.title), temperature=temperature)

    def kl_to(self, sft: TitlePolicy, written: Written, items: Sequence[Item], temperature: float) -> KlEstimate | None:
        """Exact along the written titles; None for a policy with other tokens or prompts."""
        if not read_alike(self.policy, sft):
            return None
        return kl_to_sft(self.policy, sft, written, items, temperature)


@dataclass(frozen=True)
class TitlesCandidate:
    """Titles from a file; several of one item are shown equally often.

    Parameters
    ----------
    titles
        item_id -> its titles.
    """

    name: str
    titles: Mapping[str, Sequence[str]]

    @classmethod
    def read(cls, run: Run, source: TitleSource, columns: str | None = None) -> "TitlesCandidate":
        """From a parquet, CSV or JSONL file with item_id and title, under rlopt's names, the run's own or ``columns``.

        Raises
        ------
        LogError
            If the file cannot be read or lacks a column.
        """
        items, texts, _ = titles_of(run, source.file, columns)
        check_known((item.item_id for item in items), run.arms().items, source.file, described=False)
        titles: dict[str, list[str]] = {}
        for item, text in zip(items, texts, strict=True):
            titles.setdefault(item.item_id, []).append(text)
        return cls(source.name, titles)

    def covers(self, item_id: str) -> bool:
        """True if the file has a title for the item."""
        return item_id in self.titles

    def write(self, test: Arms, config: EvalConfig, cache: Path, bar: ProgressBar) -> Written:
        """The file's titles, all of them."""
        rows = [(i, title) for i, item in enumerate(test.items) for title in self.titles[item.item_id]]
        log_prob = [-np.log(len(self.titles[test.items[i].item_id])) for i, _ in rows]
        bar.update(len(test.items) * config.samples)
        return Written(
            self.name,
            np.array([i for i, _ in rows], dtype=np.int64),
            [title for _, title in rows],
            np.array(log_prob, dtype=np.float64),
            np.ones(len(rows), dtype=bool),
            [()] * len(rows),
        )

    def log_prob(self, test: Arms, temperature: float) -> FloatArray:
        """Log share of each logged title: how often the file has the same words among the item's titles."""
        share = np.zeros(len(test))
        keys = {item.item_id: [same_text_key(title) for title in self.titles[item.item_id]] for item in test.items}
        for row, (item, title) in enumerate(zip(test.arm_items, test.title, strict=True)):
            own = keys[item.item_id]
            share[row] = own.count(same_text_key(str(title))) / len(own)
        with np.errstate(divide="ignore"):
            log_prob: FloatArray = np.log(share)
        return log_prob

    def kl_to(self, sft: TitlePolicy, written: Written, items: Sequence[Item], temperature: float) -> KlEstimate | None:
        """Not known: nobody says how the titles were drawn."""
        return None


def open_candidate(run: Run, source: TitleSource, columns: str | None = None) -> Candidate:
    """Open the candidate at ``source``; a file of titles is read at once.

    Raises
    ------
    LogError
        If the file cannot be read.
    """
    return PolicyCandidate(source.name, source.path) if source.is_policy else TitlesCandidate.read(run, source, columns)
