"""Mapping of a user's columns: from ``--columns``, the preset, and for later files from the run."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from reward.items import Item
from reward.logs.read import read_titles
from reward.logs.schema import KEY_SEPARATOR, ColumnMapping
from reward.logs.source import open_source
from reward.logs.sources.local import LocalSource
from reward.logs.staged_once import staged_once
from rlopt.progress import note
from rlopt.run import DATA, Run
from rlopt.stages.common.log_report import read_report
from rlopt.wording import counted

SCORED = ("p_click", "p_conversion", "reward", "reward_std", "support")
COMPARED = ("lift", "lift_std", "far")  # added by score: an item's titles compared, far from the logs or not
BELONGING = ("relevance", "fluency")  # beside either of the two lists, where the run can tell
PORTFOLIO = ("expected_best", "diversity", "angle")  # beside the next list with --diverse
GENERATED = (
    "log_prob",
    "finished",
    "reward",
    "reward_std",
    "support",
    "kept",
    "reason",
    "report",
    "current_title",
    "item_version",
)


def column_mapping(columns: str | None, preset: Mapping[str, Any] | None) -> ColumnMapping:
    """The preset's ``columns``, with those of ``--columns`` in front.

    Raises
    ------
    LogError
        If a part is not ``canonical=column`` or names an unknown canonical column.
    """
    from_preset = ColumnMapping.from_dict((preset or {}).get("columns") or {})
    from_flag = ColumnMapping.parse(columns or "")
    return ColumnMapping({**from_preset.columns, **from_flag.columns})


def mapping_for(run: Run, file: LocalSource, columns: str | None) -> ColumnMapping:
    """Column mapping for a file of titles or items that came after the logs.

    The run's mapping applies to the canonical names the file lacks, as far as the file has the columns it names;
    ``--columns`` goes before all.

    Raises
    ------
    LogError
        If the file cannot be read or ``columns`` is malformed.
    """
    stated = ColumnMapping.parse(columns or "")
    of_run = column_mapping(None, run.preset()).columns
    if not of_run:
        return stated
    available = _names(file)
    kept = {
        name: column
        for name, column in of_run.items()
        if name not in available and (column in available or set(column.split(KEY_SEPARATOR)) <= available)
    }
    return ColumnMapping({**kept, **stated.columns})


def titles_of(
    run: Run | None, file: LocalSource, columns: str | None = None, no_context: Iterable[str] = ()
) -> tuple[list[Item], list[str], pa.Table]:
    """Titles of a file that came after the logs, with their items and the file's own table (`read_titles`).

    Columns in ``no_context`` are no fields of the items. In a file that ``generate`` wrote, items for which it found no
    title are left out, and counted for the user.

    Raises
    ------
    LogError
        If the file cannot be read, or lacks item ids or titles.
    """
    with staged_once():
        mapping = mapping_for(run, file, columns) if run is not None else column_mapping(columns, None)
        ignored = ignored_columns(run, file)
        written = ignored.issuperset(GENERATED)
        left_out = {*ignored, *no_context}
        items, titles, table = read_titles(file, mapping, left_out, skip_untitled=written, missing=missing_marks(run))
        if written and (untitled := _rows(file) - len(titles)):
            note(f"{counted(untitled, 'row is', 'rows are')} left out of {file}: generate had found no title there")
    return items, titles, table


def ignored_columns(run: Run | None, file: LocalSource) -> set[str]:
    """Columns of a file that came after the logs which are no context of the item.

    Those that ``fit-reward`` of ``run`` did not take for context either, and what ``generate`` (`GENERATED`) or
    ``score`` (`SCORED`, `COMPARED`) wrote into the file: a file with all of these columns is theirs.

    Raises
    ------
    LogError
        If the file cannot be read.
    """
    available = _names(file)
    written = (SCORED, COMPARED, GENERATED, (*GENERATED, *PORTFOLIO))
    own = {name for names in written if available.issuperset(names) for name in (*names, *BELONGING)}
    if run is None:
        return own
    dropped = read_report(run / DATA).dropped_columns if run.rewarded else {}
    return {*own, *dropped, *(run.preset().get("exclude") or {})}


def missing_marks(run: Run | None) -> tuple[str, ...]:
    """Texts that mean "no value" in this run, beside the usual ones."""
    config = run.record("fit-reward")["config"] if run is not None and run.rewarded else {}
    return tuple(config.get("missing") or ())


def _names(file: LocalSource) -> set[str]:
    with open_source(file) as source:
        return set(source.columns)


def _rows(file: LocalSource) -> int:
    with open_source(file) as source:
        return int(source.query(f"SELECT count(*) FROM {source.relation}", source.parameters).fetchall()[0][0])  # noqa: S608
