"""Inputs as users have them (../shared/cases): what each must give, and what it gives here (``make cases``).

Each case stands for a kind of input. Where the folder is missing there is nothing to run, and the table says so.
"""

import contextlib
import csv
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from reward.errors import LogError
from reward.evidence import metrics
from reward.logs.catalogue import read_items, read_titles
from reward.logs.read import LogData, read_logs
from reward.logs.schema import ColumnMapping
from reward.model.reward_model import click_rows
from rlopt import OffPolicyEvaluation
from rlopt.cli.main import run
from rlopt.ope.estimators import LoggedRounds
from rlopt.policy.text_metrics import against_references, bleu, bleu_counts
from tests.stages.menu import make_arms, make_run

DATA = Path(os.environ.get("RLOPT_SHARED_DATA", Path(__file__).parents[1].parent / "shared" / "data"))
CASES = DATA.parent / "cases"


@dataclass(frozen=True)
class Case:
    """A file, what it must give, and how to see what it gives."""

    name: str
    expected: str
    look: Callable[[], str]


def counts(file: str, columns: str = "") -> str:
    """Rows, impressions and clicks that are read, or that it is refused and why."""
    logs = logs_of(file, columns)
    if isinstance(logs, str):
        return logs
    totals = logs.totals
    return f"{totals.rows:,} rows, {totals.impressions:,} impressions, {totals.clicks:,} clicks"


def logs_of(file: str, columns: str = "") -> LogData | str:
    """The logs, or ``refused:`` and the words."""
    try:
        return read_logs(CASES / file, columns=ColumnMapping.parse(columns), threads=1)
    except LogError as error:
        return f"refused: {error}"


def days(file: str) -> str:
    """First and last day."""
    logs = logs_of(file)
    if isinstance(logs, str):
        return logs
    ends = (logs.totals.first_timestamp, logs.totals.last_timestamp)
    return " to ".join(datetime.fromtimestamp(t, UTC).date().isoformat() for t in ends if t is not None)


def told(file: str, *words: str) -> str:
    """Refused with all these words, or what else happened."""
    found = counts(file)
    return f"refused: {', '.join(words)}" if found.startswith("refused") and all(w in found for w in words) else found


def known_ids() -> str:
    """Number of ids of the agency's files that the logs have."""
    logs = logs_of("float_ids/logs.parquet")
    if isinstance(logs, str):
        return logs
    known = {item.item_id for item in logs.arms.items}
    files = ("float_ids/agency.parquet", "float_ids/agency.csv")
    found = [{item.item_id for item in read_titles(CASES / file)[0]} for file in files]
    return ", ".join(f"{len(ids & known)} of {len(ids)}" for ids in found)


def marks() -> str:
    """Field values of logs and catalogue that are marks of missing values."""
    logs = logs_of("missing_marks/logs.csv")
    if isinstance(logs, str):
        return logs
    items = [*logs.arms.items, *read_items(CASES / "missing_marks/catalogue.csv")]
    values = {value for item in items for texts in item.fields.values() for value in texts}
    return ", ".join(sorted(values & {"(not set)", "unknown", r"\N", "#N/A", "unspecified", "n.a."})) or "none"


def many_titles() -> str:
    """Pair accuracy of a score that is right about the small items, and wrong about the two of thousands of titles."""
    logs = logs_of("many_titles/logs.csv")
    if isinstance(logs, str):
        return logs
    rows = click_rows(logs.arms)
    large = np.bincount(rows.item)[rows.item] > 100
    rate = rows.successes / rows.trials
    return f"{metrics.pair_accuracy(metrics.tally(rows, np.where(large, -rate, rate))):.1%} of an item's pairs"


def text_figures(file: str) -> str:
    """BLEU and ROUGE of the titles against people's."""
    with (CASES / file).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    titles, references = [row["title"] for row in rows], [row["human"] for row in rows]
    rouge = against_references(titles, references)["rouge_1"].mean()
    return f"BLEU {bleu(bleu_counts(titles, references).sum(axis=0)):.3f}, ROUGE-1 {rouge:.3f}"


def ab_test(file: str, *options: str) -> str:
    """What ``ab-analyze`` decides, and how the split is told."""
    out = io.StringIO()
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        menu = make_run(Path(folder) / "run", make_arms(30))
        run(["ab-analyze", str(CASES / file), *options, "--run", str(menu.path), "--final", "--json"])
    found = json.loads(out.getvalue())
    outcome = found["outcome"]
    split = outcome["split"]
    told = [outcome["decision"]]
    if outcome["decision"] == "better":
        told.append("+20% in the interval" if outcome["low"] < 0.2 < outcome["high"] else f"{outcome['lift']:+.0%}")
    told += ["the split changed"] if split["changed"] else []
    told += ["by item"] if split["by_item"] else []
    return ", ".join([*told, *sorted(found["mismatched_items"])[:3]])


def estimators(logging: Sequence[float], policy: Sequence[float], rate: Sequence[float], n: int) -> str:
    """Estimators whose 95 % intervals hold the truth in fewer than 90 of 100 samples, and that are not marked."""
    shares, wanted, rates = (np.asarray(values) for values in (logging, policy, rate))
    truth, hits, marked = float(wanted @ rates), Counter[str](), set()
    for seed in range(100):
        rng = np.random.default_rng(seed)
        title = rng.choice(len(shares), n, p=shares)
        reward = (rng.random(n) < rates[title]).astype(float)
        model = np.full(n, float(rates.mean().round(2)))
        rounds = LoggedRounds(reward, (wanted / shares)[title], model, model, cluster=np.arange(n))
        for row in OffPolicyEvaluation(rounds).table():
            hits[row["estimator"]] += row["low"] <= truth <= row["high"]
            marked |= {row["estimator"]} if row["biased"] else set()
    return ", ".join(sorted(key for key in hits if hits[key] < 90 and key not in marked)) or "none"


ALL = "240 rows, 479,794 impressions, 19,007 clicks"
HEADLINE = "title=Headline"
RAMP_UP = "better, +20% in the interval, the split changed"
POLICY = (0.05, 0.1, 0.15, 0.2, 0.5)
LIST = (
    Case("ab_rollout/results.csv", RAMP_UP, partial(ab_test, "ab_rollout/results.csv")),
    Case(
        "ab_rollout/results.csv --split 0.255", RAMP_UP, partial(ab_test, "ab_rollout/results.csv", "--split", "0.255")
    ),
    Case("ab_rollout/mix.csv", "undecided, by item", partial(ab_test, "ab_rollout/mix.csv")),
    Case("ab_bots/bots.csv", "invalid, p0000, p0001, p0002", partial(ab_test, "ab_bots/bots.csv")),
    Case("ab_bots/srm_plain.csv", "invalid", partial(ab_test, "ab_bots/srm_plain.csv")),
    Case(
        "biased_estimators/clip.py",
        "none",
        partial(estimators, (0.6, 0.2, 0.12, 0.07, 0.01), POLICY, (0.03, 0.035, 0.04, 0.045, 0.06), 20_000),
    ),
    Case(
        "biased_estimators/coverage.py",
        "none",
        partial(estimators, (0.5, 0.2, 0.15, 0.1, 0.05), POLICY, (0.3, 0.35, 0.4, 0.45, 0.5), 4_000),
    ),
    *(
        Case(
            f"compact_times/seasons_{form}.csv",
            "2026-03-01 to 2026-03-10",
            partial(days, f"compact_times/seasons_{form}.csv"),
        )
        for form in ("iso", "yyyymmddhh", "yyyymmddhhmmss")
    ),
    Case("compact_times/yyyymmddhhmm.csv", "2026-03-01 to 2026-03-04", partial(days, "compact_times/yyyymmddhhmm.csv")),
    Case(
        "copies/daily",
        "refused: is a copy of, 239,917 impressions, 9,794 clicks",
        partial(told, "copies/daily", "is a copy of", "239,917 impressions", "9,794 clicks"),
    ),
    Case("copies/daily_clean", "1,200 rows, 721,370 impressions, 29,438 clicks", partial(counts, "copies/daily_clean")),
    Case("csv_shapes/newline_in_header.csv", ALL, partial(counts, "csv_shapes/newline_in_header.csv")),
    Case("csv_shapes/preamble.csv", ALL, partial(counts, "csv_shapes/preamble.csv")),
    Case("encodings/ads.csv", ALL, partial(counts, "encodings/ads.csv", HEADLINE)),
    Case("encodings/sjis.csv", "refused: cp932, ケトル", partial(told, "encodings/sjis.csv", "cp932", "ケトル")),
    Case("float_ids", "120 of 120, 120 of 120", known_ids),
    Case(
        "german_numbers/rounded.csv",
        "refused: 1.000, --decimal",
        partial(told, "german_numbers/rounded.csv", "1.000", "--decimal"),
    ),
    Case("json_array/array.jsonl", ALL, partial(counts, "json_array/array.jsonl")),
    Case("lake_table/clicks", "refused: Delta", partial(told, "lake_table/clicks", "Delta")),
    Case("many_titles", "98.7% of an item's pairs", many_titles),
    Case("missing_marks", "none", marks),
    Case(
        "ns_timestamps/ts_ns_UTC.parquet",
        "320 rows, 640,158 impressions, 25,803 clicks",
        partial(counts, "ns_timestamps/ts_ns_UTC.parquet"),
    ),
    *(
        Case(f"quotes/{name}.tsv", ALL, partial(counts, f"quotes/{name}.tsv"))
        for name in ("inner", "unclosed", "whole")
    ),
    Case(
        "search_console/export.csv",
        "320 rows, 640,158 impressions, 25,803 clicks",
        partial(counts, "search_console/export.csv", "item_id=Page"),
    ),
    Case(
        "search_console/export.csv position=",
        "320 rows, 640,158 impressions, 25,803 clicks",
        partial(counts, "search_console/export.csv", "item_id=Page,position="),
    ),
    Case(
        "text_metrics/en_short_same.csv",
        "BLEU 1.000, ROUGE-1 1.000",
        partial(text_figures, "text_metrics/en_short_same.csv"),
    ),
    Case(
        "text_metrics/hi_unlike.csv", "BLEU 0.000, ROUGE-1 0.000", partial(text_figures, "text_metrics/hi_unlike.csv")
    ),
    Case(
        "totals_row/totals_row.csv",
        "refused: 479,794 impressions, 19,007 clicks",
        partial(told, "totals_row/totals_row.csv", "479,794 impressions", "19,007 clicks"),
    ),
)


def table() -> Iterator[tuple[Case, str]]:
    """Every case with what it gives."""
    for case in LIST:
        yield case, case.look()


def main() -> int:
    """Print the table; 1 where a case is not as it must be."""
    if not CASES.is_dir():
        print(f"Nothing to run: there is no folder {CASES} (RLOPT_SHARED_DATA names the one beside it).")  # noqa: T201
        return 0
    wrong = 0
    for case, found in table():
        right = found == case.expected
        wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {case.name:38} {case.expected:62} {'' if right else found}".rstrip())  # noqa: T201
    print(f"{len(LIST) - wrong} of {len(LIST)} right")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
