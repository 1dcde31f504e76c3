"""Which of a user's columns is which: from ``--columns``, the preset, and for later files from the run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reward.logs.schema import KEY_SEPARATOR, ColumnMapping
from reward.logs.source import open_source
from rlopt.run import DATA, FINDINGS, Run


def column_mapping(columns: str | None, preset: Mapping[str, Any] | None) -> ColumnMapping:
    """The preset's ``columns``, with those of ``--columns`` in front.

    Raises
    ------
    LogError
        When a part is not ``canonical=column`` or names an unknown canonical column.
    """
    from_preset = ColumnMapping.from_dict((preset or {}).get("columns") or {})
    from_flag = ColumnMapping.parse(columns or "")
    return ColumnMapping({**from_preset.columns, **from_flag.columns})


def mapping_for(run: Run, file: str | Path, columns: str | None) -> ColumnMapping:
    """How to read a file of titles or items that came after the logs.

    The run's mapping applies to the canonical names the file lacks, as far as the file has the columns it names;
    ``--columns`` goes before all.

    Raises
    ------
    LogError
        When the file cannot be read or ``columns`` is malformed.
    """
    stated = ColumnMapping.parse(columns or "")
    of_run = column_mapping(None, run.preset()).columns
    if not of_run:
        return stated
    with open_source(file) as source:
        available = set(source.columns)
    kept = {
        name: column
        for name, column in of_run.items()
        if name not in available and (column in available or set(column.split(KEY_SEPARATOR)) <= available)
    }
    return ColumnMapping({**kept, **stated.columns})


def ignored_columns(run: Run) -> set[str]:
    """Columns that ``fit-reward`` did not take for context of the item, so that later files bring none of them."""
    report = json.loads((run / DATA / FINDINGS).read_text(encoding="utf-8"))
    return {*report["dropped_columns"], *(run.preset().get("exclude") or {})}
