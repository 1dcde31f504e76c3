"""Output of ``ab-analyze``: the report in the run, and results as other experiment platforms read them."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rlopt.config import AbAnalyzeConfig
from rlopt.files import atomic_path, to_json
from rlopt.report.ab_test import render_test
from rlopt.run import Run
from rlopt.stages.ab.analysis import Analysis
from rlopt.stages.ab.metrics import Asked
from rlopt.stages.ab.results import Results

LONG = ("unit", "variation", "time", "metric", "value")


def write_report(run: Run, analysis: Analysis, inputs: Mapping[str, str], config: AbAnalyzeConfig) -> None:
    """``ab/report.html`` and ``ab/report.json`` of the last analysis; a training of the run may go on meanwhile."""
    found = analysis.to_dict()
    with run.replacing("ab") as folder:
        (folder / "report.json").write_text(to_json(found, indent=2), encoding="utf-8")
        (folder / "report.html").write_text(render_test(found, inputs, config.lang), encoding="utf-8")


def export_results(path: Path, results: Results, asked: Asked) -> None:
    """Results as long CSV: one row a unit, variation, day and metric (`LONG`).

    Units are visitors where the results have them, else items; the time is empty without dates. Values add up; zeros
    are left out but for impressions.
    """
    if results.visitor is not None:
        unit, units = results.visitor, results.visitors
    else:
        unit, units = results.item, results.items
    day = np.zeros(len(unit), dtype=np.int64) if results.day is None else results.day
    cells, where = np.unique(np.stack([unit, results.arm, day], axis=1), axis=0, return_inverse=True)
    with atomic_path(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(LONG)
        for metric in asked.columns:
            totals = np.bincount(where.ravel(), results.values[metric], minlength=len(cells))
            for (who, arm, when), value in zip(cells.tolist(), totals.tolist(), strict=True):
                if value or metric == asked.columns[0]:
                    time = results.days[when] if results.days else ""
                    writer.writerow((units[who], results.arms[arm], time, metric, f"{value:.15g}"))
