"""The rows of ``generate``: chosen titles as a table, the way back, and sums over tables."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from reward.evidence.explain import SUPPORTED
from reward.items import Item
from rlopt.stages.generate.choice import APPROVED, Choice

STOPPED = b"stopped"  # metadata of a table: rule -> titles that it stopped


def to_table(chosen: Sequence[Sequence[Choice]], stopped: Mapping[str, int]) -> pa.Table:
    """One row a title, with what stopped others in the metadata."""
    rows = [choice for choices in chosen for choice in choices]
    versions = {id(row.item): _version(row.item) for row in rows}
    columns: dict[str, tuple[list[Any], pa.DataType]] = {
        "item_id": ([row.item.item_id for row in rows], pa.string()),
        "title": ([row.title for row in rows], pa.string()),
        "log_prob": ([row.log_prob for row in rows], pa.float64()),
        "finished": ([row.finished for row in rows], pa.bool_()),
        "reward": ([row.reward for row in rows], pa.float64()),
        "reward_std": ([row.reward_std for row in rows], pa.float64()),
        "support": ([row.support for row in rows], pa.float64()),
        "relevance": ([row.relevance for row in rows], pa.float64()),
        "fluency": ([row.fluency for row in rows], pa.float64()),
        "kept": ([row.kept for row in rows], pa.bool_()),
        "reason": ([row.reason for row in rows], pa.string()),
        "report": (["; ".join(row.report) or None for row in rows], pa.string()),
        "current_title": ([row.item.current_title for row in rows], pa.string()),
        "item_version": ([versions[id(row.item)] for row in rows], pa.string()),
    }
    table = pa.table({name: pa.array(values, kind) for name, (values, kind) in columns.items()})
    return table.replace_schema_metadata({STOPPED: json.dumps(stopped)})


def from_table(table: pa.Table, items: Sequence[Item]) -> list[list[Choice]]:
    """The choices of `to_table` for its items."""
    rows = table.to_pylist()
    n = len(rows) // max(1, len(items))
    return [
        [
            Choice(
                items[k // n],
                row["title"],
                row["log_prob"],
                row["finished"],
                row["reward"],
                row["reward_std"],
                row["support"],
                row["relevance"],
                row["fluency"],
                row["kept"],
                row["reason"],
                (row["report"],) if row["report"] else (),
            )
            for k, row in enumerate(rows[start : start + n], start=start)
        ]
        for start in range(0, len(rows), max(1, n))
    ]


def stopped_in(table: pa.Table) -> dict[str, int]:
    """Rule -> titles that it stopped while these were written."""
    found: dict[str, int] = json.loads((table.schema.metadata or {}).get(STOPPED, b"{}"))
    return found


def _version(item: Item) -> str:
    """Hash of what the item said when its title was written."""
    return hashlib.blake2b(item.to_json().encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass
class TableTotals:
    """Sums over tables.

    Parameters
    ----------
    rows, items, kept, missing, finished
        Titles, items, current titles that stay, rows without a title, titles that were not cut off.
    reward, rewarded
        Sum of the predicted rewards, and titles that have one.
    broken, promises
        Current titles that stay although they break a rule, and although they promise what nothing bears out.
    not_belonging
        New titles below the floor of relevance or fluency.
    strange
        New titles unlike anything logged.
    stopped
        Rule -> titles that it stopped.
    reasons
        Reason for having no new title -> number of rows.
    """

    rows: int = 0
    items: int = 0
    kept: int = 0
    missing: int = 0
    finished: int = 0
    reward: float = 0.0
    rewarded: int = 0
    broken: int = 0
    promises: int = 0
    not_belonging: int = 0
    strange: int = 0
    stopped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, table: pa.Table) -> None:
        """Count one more table in."""
        self.rows += len(table)
        self.items += len(set(table["item_id"].to_pylist()))
        self.kept += sum(table["kept"].to_pylist())
        self.missing += table["title"].null_count
        columns = (table[name].to_pylist() for name in ("report", "kept", "title"))
        reports = [(report, kept) for report, kept, title in zip(*columns, strict=True) if report and title is not None]
        broken = [report for report, kept in reports if kept]
        self.not_belonging += len(reports) - len(broken)  # nothing else is reported of a new title
        self.broken += len(broken)
        self.promises += sum(any(part.startswith("promise: ") for part in report.split("; ")) for report in broken)
        self.finished += sum(table["finished"].to_pylist())
        rewards = [value for value in table["reward"].to_pylist() if value is not None]
        self.reward, self.rewarded = self.reward + sum(rewards), self.rewarded + len(rewards)
        supports = zip(table["support"].to_pylist(), table["kept"].to_pylist(), strict=True)
        self.strange += sum(value is not None and value < SUPPORTED and not kept for value, kept in supports)
        reasons = [reason for reason in table["reason"].to_pylist() if reason != APPROVED]
        self.reasons.update(reason.split(" (")[0] for reason in reasons if reason)
        self.stopped.update(stopped_in(table))
