"""From a file of ``rlopt generate`` to proposals, with what the run says of each."""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from reward.items import Item
from reward.logs.catalogue import read_items
from reward.logs.sources.local import local
from rlopt.csv_files import freed_table
from rlopt.errors import RunError
from rlopt.reviewing.proposals import Proposal, key_of
from rlopt.run import Run
from rlopt.stages.common.columns import BELONGING, GENERATED, ignored_columns, mapping_for, missing_marks
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.review.prediction import Lifts, RunChecks

CHUNK = 5000
UNKNOWN = "unknown"  # policy of a CSV, which holds no metadata


def read_titles_table(path: Path) -> tuple[pa.Table, str]:
    """The rows of a file that ``generate`` wrote, and the fingerprint of the policy that did.

    Raises
    ------
    RunError
        If it cannot be read, or is another kind of file.
    """
    try:
        if path.suffix.lower() == ".csv":
            texts = ("item_id", "title", "reason", "report", "current_title", "item_version")
            options = pa_csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()), strings_can_be_null=True)
            table = freed_table(pa_csv.read_csv(path, parse_options=_LINES, convert_options=options))
        else:
            table = pq.read_table(path, partitioning=None)
    except pa.ArrowInvalid as error:
        raise RunError(
            f"{path} is no {'CSV' if path.suffix.lower() == '.csv' else 'Parquet'} file, or damaged. Write one: rlopt "
            "generate ITEMS -o titles.parquet"
        ) from error
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"Cannot read {path}: {str(error).splitlines()[0]}.") from error
    wanted = ("item_id", "title", *GENERATED, *BELONGING)
    if missing := [name for name in wanted if name not in table.column_names]:
        raise RunError(
            f"{path} is no output of rlopt generate: it has no column {missing[0]!r}. Write one: rlopt generate ITEMS "
            "-o titles.parquet"
        )
    source = (table.schema.metadata or {}).get(b"rlopt.policy_fingerprint", UNKNOWN.encode()).decode()
    return table, source


_LINES = pa_csv.ParseOptions(newlines_in_values=True)


def facts_of(run: Run, items_file: str | None, columns: str | None) -> dict[str, Item]:
    """Items of the catalogue that the titles were written for, by their ids; none without a file.

    All its columns are shown to people; the run's checks take those it knows.

    Raises
    ------
    LogError
        If it cannot be read.
    """
    if items_file is None:
        return {}
    with local(items_file) as here:
        found = read_items(
            here, mapping_for(run, here, columns), ignored_columns(run, here), missing=missing_marks(run)
        )
    return {item.item_id: item for item in found}


def proposals_of(
    table: pa.Table,
    source: str,
    opened: OpenedRun,
    checks: RunChecks,
    catalogue: dict[str, Item],
    known_keys: Container[str] = (),
) -> Iterator[list[Proposal]]:
    """The rows as proposals, some thousands at a time; those with a known key are left out."""
    arms = opened.arms
    shown = np.bincount(arms.item_index, arms.impressions, len(arms.items))
    traffic = {item.item_id: float(n) for item, n in zip(arms.items, shown, strict=True)}
    logged = {item.item_id: item for item in arms.items}
    for start in range(0, len(table), CHUNK):
        rows = [row for row in table.slice(start, CHUNK).to_pylist() if key_of(source, row) not in known_keys]
        if not rows:
            continue
        items = [_item(row, catalogue, logged) for row in rows]
        known = opened.with_known_fields(items)
        titled = [row for row in range(len(rows)) if rows[row]["title"] is not None]
        found = checks.lifts([known[row] for row in titled], [rows[row]["title"] for row in titled])
        figures = {row: _figures(found, place) for place, row in enumerate(titled)}
        yield [
            Proposal(
                source=source,
                facts=items[k].fields,
                # clicks or their worth that ride on it: by what the logs showed of the item, one impression if nothing
                value=(row["reward"] or 0.0) * max(traffic.get(row["item_id"], 0.0), 1.0),
                **{name: row[name] for name in _KEPT},
                **figures.get(k, {}),
            )
            for k, row in enumerate(rows)
        ]


_KEPT = (
    "item_id", "item_version", "title", "current_title", "kept", "reason", "report", "reward", "support", "relevance",
    "fluency",
)  # fmt: skip


def _figures(found: Lifts, place: int) -> dict[str, Any]:
    values = {name: float(getattr(found, name)[place]) for name in ("lift", "low", "high", "chance")}
    return {name: None if value != value else value for name, value in values.items()}


def _item(row: dict[str, Any], catalogue: dict[str, Item], logged: dict[str, Item]) -> Item:
    """The item of a row, with its facts from the catalogue, else from the logs."""
    found = catalogue.get(row["item_id"]) or logged.get(row["item_id"])
    return Item(row["item_id"], found.fields if found else {}, row["current_title"])
