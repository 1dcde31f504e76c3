"""Logs of an exploration plan (`rlopt explore`): each title's chance is looked up in the plan, whose logs hold none.

An item's rows count where its plan shows several titles, with the plan's chances, or where all of the logs hold one
title of it, whose chance is 1. Other rows tell nothing of titles: where a plan has decided on one title, or titles that
no plan knows replaced one another. They are left out, and told of.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from ..errors import LogError
from .catalogue import read_titles
from .source import quote
from .typed_rows import PLANNED, PROBABILITY, TypedRows

BATCH = "batch"
_TOLERANCE = 1e-6  # of chances that should add up to one
_WAY_OUT = "Give the plans by which titles were shown, or leave such rows out with the preset's exclude"


@dataclass(frozen=True)
class PlanName:
    """``--plan FILE`` or ``--plan BATCH=FILE``.

    Parameters
    ----------
    file
        File of the plan.
    batch
        Value of the logs' column batch, or the day from which the plan held (UTC); None: it holds for all rows.
    """

    file: Path
    batch: str | None = None

    @classmethod
    def parse(cls, text: str) -> "PlanName":
        """From the text on the command line; a file whose own name holds a ``=`` is taken as it is.

        Raises
        ------
        LogError
            If there is no such file.
        """
        batch, equals, file = text.partition("=")
        found = cls(Path(file), batch.strip()) if equals and not Path(text).is_file() else cls(Path(text))
        if not found.file.is_file():
            raise LogError(f"--plan: there is no file {found.file}. Give a plan of rlopt explore, FILE or BATCH=FILE.")
        return found


def with_plans(rows: TypedRows, texts: Sequence[str]) -> tuple[TypedRows, tuple[str, ...]]:
    """``rows`` with the chances of their plans as propensities, and what is to be told of it.

    Parameters
    ----------
    rows
        Valid rows without a propensity.
    texts
        Plans as on the command line (`PlanName.parse`): one for all rows, or each with its batch.

    Raises
    ------
    LogError
        If a plan cannot be read or is none, rows have no plan, or an item shows a title that its plan does not.
    """
    if rows.has("propensity"):
        raise LogError(
            f"{rows.source.where} has propensities of its own (column '{rows.location('propensity')}'), and --plan "
            "gives others. Leave --plan out, or the column: --columns propensity="
        )
    plans = [PlanName.parse(text) for text in texts]
    which = _which(rows, plans)
    source = rows.source
    source.connection.register("plan_rows", pa.concat_tables(_read(n, plan) for n, plan in enumerate(plans)))
    source.query("CREATE OR REPLACE TEMP TABLE plans AS SELECT * FROM plan_rows")
    source.connection.unregister("plan_rows")
    shown = rows.select("item_id", "title", "impressions", where="impressions > 0", extra={"plan": which})
    source.query(
        "CREATE OR REPLACE TEMP TABLE shown AS SELECT plan, item_id, title, sum(impressions) AS n "
        f"FROM {shown} GROUP BY ALL",
        rows.parameters,
    )
    _refuse_unplanned(rows, plans)
    _look_up(rows)
    told = _left_out(rows)
    sources = {**rows.sources, "propensity": (PROBABILITY,)}
    columns = {**source.columns, PROBABILITY: "DOUBLE"}
    return replace(
        rows, source=replace(source, columns=columns, joined=frozenset({PROBABILITY})), sources=sources, plan=which
    ), told


def _read(number: int, plan: PlanName) -> pa.Table:
    """number, item_id, title and probability of the titles that the plan shows."""
    items, titles, table = read_titles(plan.file)
    if "probability" not in table.column_names:
        raise LogError(f"{plan.file} has no column probability: it is no plan of rlopt explore.")
    rows: dict[tuple[str, str], float] = {}
    total: dict[str, float] = {}
    for row, (item, title, value) in enumerate(zip(items, titles, table["probability"].to_pylist(), strict=True)):
        chance = _chance(value)
        if chance is None or (item.item_id, title) in rows:
            wrong = f"probability {value!r:.40}" if chance is None else f"the title {title!r:.60} a second time"
            raise LogError(f"{plan.file}, row {row + 1}, has {wrong}. Each title of an item has one, from 0 to 1.")
        rows[item.item_id, title] = chance
        total[item.item_id] = total.get(item.item_id, 0.0) + chance
    if off := next((item_id for item_id, sum_ in total.items() if abs(sum_ - 1) > _TOLERANCE), None):
        raise LogError(
            f"{plan.file}: the probabilities of item {off!r:.60} add up to {total[off]:g} and not to 1. Give the plan "
            "whole, as rlopt explore wrote it."
        )
    kept = {key: chance for key, chance in rows.items() if chance > 0}
    return pa.table(
        {
            "plan": pa.array([number] * len(kept), pa.int64()),
            "item_id": pa.array([item_id for item_id, _ in kept], pa.string()),
            "title": pa.array([title for _, title in kept], pa.string()),
            "probability": pa.array(list(kept.values()), pa.float64()),
        }
    )


def _chance(value: object) -> float | None:
    try:
        chance = float(str(value))
    except ValueError:
        return None
    return chance if 0 <= chance <= 1 and math.isfinite(chance) else None


def _which(rows: TypedRows, plans: Sequence[PlanName]) -> str:
    """SQL of the number of a row's plan, NULL where it has none."""
    named = [plan.batch for plan in plans if plan.batch is not None]
    if not named and len(plans) == 1:
        return "0"
    if len(set(named)) < len(plans):
        raise LogError(
            "Several plans, and nothing says which rows are of which: give each its batch, once, --plan 1=plan.parquet "
            f"--plan 2=plan-2.parquet. Got {', '.join(str(plan.batch or plan.file) for plan in plans)}."
        )
    column = next((name for name in rows.source.columns if name.strip().casefold() == BATCH), None)
    if column is not None:
        cases = [f"WHEN '{_quoted(batch)}' THEN {number}" for number, batch in enumerate(named)]
        return f"CASE trim({rows.key(column)}) {' '.join(cases)} END"
    if not rows.has("timestamp"):
        raise LogError(
            f"{rows.source.where} has neither a column {BATCH} nor a timestamp: nothing says which rows are of which "
            "plan."
        )
    begun = sorted(((_seconds(batch), number) for number, batch in enumerate(named)), reverse=True)
    cases = [f"WHEN {rows.expression('timestamp')} >= {start} THEN {number}" for start, number in begun]
    return f"CASE {' '.join(cases)} END"


def _seconds(day: str) -> float:
    try:
        time = datetime.fromisoformat(day)
    except ValueError:
        raise LogError(
            f"--plan {day}=...: the logs have no column {BATCH}, so say from which day (UTC) each plan held: "
            "--plan 2026-01-05=plan.parquet."
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _refuse_unplanned(rows: TypedRows, plans: Sequence[PlanName]) -> None:
    """Stop at rows without a plan, at a title that its item's plan never shows, and where no plan fits.

    Raises
    ------
    LogError
        Naming the first one and how many impressions there are.
    """
    where, query = rows.source.where, rows.source.query
    without = query("SELECT sum(n), min(item_id) FROM shown WHERE plan IS NULL").fetchall()[0]
    if without[0]:
        batches = ", ".join(str(plan.batch) for plan in plans)
        raise LogError(
            f"{where} has {without[0]:,.0f} impressions (first: of item {without[1]!r:.60}) of no plan: there are "
            f"those of {batches}. {_WAY_OUT}."
        )
    known = "FROM shown SEMI JOIN plans USING (plan, item_id)"
    strange = query(
        f"SELECT sum(n), count(DISTINCT item_id), min((item_id, title)), (SELECT sum(n) {known}) "
        f"FROM (SELECT * {known}) ANTI JOIN plans USING (plan, item_id, title)"
    ).fetchall()[0]
    if strange[0]:
        item_id, title = strange[2]
        raise LogError(
            f"{where} has {strange[0]:,.0f} impressions ({strange[0] / strange[3]:.1%}) of {strange[1]:,} planned "
            f"items with titles that their plan never shows, first {title!r:.80} of item {item_id!r:.60}. {_WAY_OUT}."
        )
    if not query(f"SELECT count(*) {known}").fetchall()[0][0]:
        files = ", ".join(str(plan.file) for plan in plans)
        raise LogError(f"{where} shows no item of {files}. {_WAY_OUT}.")


def _look_up(rows: TypedRows) -> None:
    """The table `PLANNED`: what is shown, with its chance and whether it counts."""
    rows.source.query(
        f"CREATE OR REPLACE TEMP TABLE {PLANNED} AS "
        f'SELECT plan AS {PLANNED}_plan, item_id AS {PLANNED}_item_id, title AS {PLANNED}_title, n AS "{PLANNED}_n", '
        f"coalesce(probability, 1) AS {quote(PROBABILITY)}, "
        f"coalesce(titles, 1) > 1 OR logged = 1 AS {PLANNED}_counts "
        "FROM shown LEFT JOIN plans USING (plan, item_id, title) "
        "LEFT JOIN (SELECT plan, item_id, count(*) AS titles FROM plans GROUP BY ALL) USING (plan, item_id) "
        "JOIN (SELECT item_id, count(DISTINCT title) AS logged FROM shown GROUP BY ALL) USING (item_id)"
    )


def _left_out(rows: TypedRows) -> tuple[str, ...]:
    n, items, first = rows.source.query(
        f'SELECT sum("{PLANNED}_n"), count(DISTINCT {PLANNED}_item_id), min({PLANNED}_item_id) FROM {PLANNED} '
        f"WHERE NOT {PLANNED}_counts"
    ).fetchall()[0]
    if not n:
        return ()
    return (
        f"{n:,.0f} impressions of {items:,} items (first: {first!r:.60}) are left out: their titles were not shown "
        "side by side by any plan, but one after another, or nobody knows how.",
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
