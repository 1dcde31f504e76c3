"""Writes titles shard by shard, alone or with other processes: the same titles whoever drafts them."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from reward.evidence.explain import SUPPORTED
from reward.items import Item
from rlopt import processes
from rlopt.ope.guardrails import RULES
from rlopt.progress import note
from rlopt.stages.common.shards import Shards
from rlopt.stages.generate.approved import titles_for
from rlopt.stages.generate.choice import BY_RULES, settle
from rlopt.stages.generate.portfolio import with_portfolio
from rlopt.stages.generate.proposals import Means, Shop, title_hash
from rlopt.stages.generate.result import GenerateResult
from rlopt.stages.generate.table import TableTotals, from_table, stopped_in, to_table
from rlopt.wording import counted


class Writer:
    """Writes shards: every process drafts its share of them, the first keeps a shop's titles apart."""

    def __init__(self, means: Means, shards: Shards) -> None:
        self._means, self._shards = means, shards
        self._shop, self._totals = Shop(), TableTotals()
        self.written = 0

    def resume(self) -> None:
        """Count in the shards that an interrupted call has left; titles that people approved are given out already."""
        for one in self._means.reviews.approved:
            self._shop.add(title_hash(one.title))
        done = self._shards.done() if processes.is_first() else 0
        for number in range(done):
            table = self._shards.read(number)
            self._totals.add(table)
            for title in table["title"].drop_null().to_pylist():
                self._shop.add(title_hash(title))
        if done:
            note(f"Resuming after {counted(self._totals.rows, 'title')} already written")

    def write(self, number: int, items: Sequence[Item]) -> int:
        """The shard ``number`` with the titles of ``items``, or this process's part in it; its rows."""
        if number % processes.count() == processes.rank() and self._shards.missing(number):
            self._shards.write_draft(number, drafted(number, items, self._means))
        if not processes.is_first():
            return 0
        table = settled(self._shards.take_draft(number), number, items, self._means, self._shop)
        if self._means.config.diverse:
            table = with_portfolio(table, items, self._means)
        self._shards.write(number, table)
        self._totals.add(table)
        self.written += len(table)
        return len(table)

    def say_what_stood_out(self) -> None:
        """Note conspicuous totals that a user would have to search the output for."""
        totals = self._totals
        none = totals.kept + totals.missing
        if processes.is_first() and 2 * none > totals.rows:
            why = "; ".join(f"{reason}: {count:,}" for reason, count in totals.reasons.most_common())
            often = ", ".join(f"{_named(rule)} ({count:,})" for rule, count in totals.stopped.most_common(3))
            rules = f" Titles that rules stopped: {often}" if often and BY_RULES in why else ""
            note(f"{none:,} of {totals.rows:,} rows have no new title ({why}).{rules}")
        if totals.broken:
            note(f"Stay although they break a rule (column report): {counted(totals.broken, 'current title')}")
        if totals.strange:
            note(f"Unlike anything logged (support below {SUPPORTED:g}): {counted(totals.strange, 'new title')}")
        if totals.not_belonging:
            note(
                "Do not belong to their item or do not read like titles, but no other was found (columns relevance and "
                f"fluency): {counted(totals.not_belonging, 'new title')}"
            )

    def result(self, output: str, seconds: float) -> GenerateResult:
        """Summary of all that was written, and the speed of this call."""
        totals = self._totals
        return GenerateResult(
            output,
            totals.rows,
            totals.items,
            totals.reward / totals.rewarded if totals.rewarded else None,
            totals.finished / totals.rows if totals.rows else None,
            totals.kept,
            totals.promises,
            totals.missing,
            totals.not_belonging,
            dict(sorted(totals.stopped.items())),
            self.written / seconds,
            self._means.reward,
        )


def drafted(number: int, items: Sequence[Item], means: Means) -> pa.Table:
    """Shard ``number``, written without a look at the others, so that it is the same whoever drafts it."""
    alone = Shop()
    return to_table(titles_for(items, means, alone, _seed_of(means, number, 0)), alone.stopped)


def settled(draft: pa.Table, number: int, items: Sequence[Item], means: Means, shop: Shop) -> pa.Table:
    """The draft of shard ``number`` with no title that another item of the ``shop`` has."""
    shop.stopped = Counter(stopped_in(draft))
    chosen = settle(from_table(draft, items), items, means, shop, _seed_of(means, number, 1))
    return to_table(chosen, shop.stopped)


def _seed_of(means: Means, number: int, step: int) -> int:
    return int(np.random.SeedSequence([means.config.seed, number, step]).generate_state(1)[0])


def _named(rule: str) -> str:
    """A rule, and whether it stopped titles "decoding", in words."""
    when, colon, kind = rule.rpartition(": ")
    return f"{when}{colon}{RULES.get(kind, kind.replace('_', ' '))}"
