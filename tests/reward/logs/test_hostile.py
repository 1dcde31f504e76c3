"""Hostile logs: whatever the texts and numbers, arms without NaN or one clear line."""

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reward.doctor.examine import examine
from reward.errors import RewardError
from reward.logs.read import read_items, read_logs, read_titles
from reward.logs.splits import split_items
from reward.logs.store import load_arms, save_arms

from ..log_fixtures import assert_finite, assert_same_arms

TEXTS = st.one_of(
    st.sampled_from(
        [
            "a",
            "鞋",
            "👩‍👩‍👧 shoes 🔥",
            "\u200b",
            "\u202eevil",
            "مرحبا بالعالم",
            "<b>bold</b> &amp; <script>alert(1)</script>",
            "x" * 5_000,
            "x" * 5_001,
            "'; DROP TABLE arms; --",
            '"quoted", and; split\tby\nall',
            "NaN",
            "NULL",
            "",
            "   ",
            "\x00",
            "\ufeffbom",
            '{"a": {"b": [1, null]}}',
            '[["颜色", "红"]]',
            "[" * 200 + "]" * 200,
        ]
    ),
    st.text(max_size=12),
)
COUNTS = st.one_of(st.integers(0, 3), st.sampled_from([10**9, 10**12, 10**12 + 1, -1]))
FLOATS = st.one_of(st.floats(0, 1), st.sampled_from([math.nan, math.inf, -0.0, 1.7, 1e-300, 1e308]), st.none())
ROW = st.fixed_dictionaries(
    {"item_id": TEXTS, "title": TEXTS, "clicks": COUNTS, "impressions": COUNTS},
    optional={
        "conversions": COUNTS,
        "revenue": FLOATS,
        "propensity": FLOATS,
        "position": st.one_of(st.integers(-1, 5), st.just(10**6), st.none()),
        "timestamp": st.one_of(st.integers(0, 2 * 10**9), FLOATS),
        "conversion_delay_hours": FLOATS,
        "Brand": TEXTS,
        "price": FLOATS,
        "file": TEXTS,
        'odd "name"; --': TEXTS,
    },
)


def make_table(rows: list[dict[str, Any]]) -> pa.Table:
    """Arrow table of the rows; a column is there where any row has it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows]) for name in names})


def survives(folder: Path, path: Path) -> None:
    """Every reader gives a sound result or a RewardError of one line."""
    messages = []
    try:
        logs = read_logs(path, threads=1)
        assert_finite(logs.arms)
        report = examine(logs).to_dict()
        assert not [key for key, value in report.items() if isinstance(value, float) and not math.isfinite(value)]
        save_arms(logs.arms, folder / "arms")
        assert_same_arms(load_arms(folder / "arms"), logs.arms, rtol=0)
        split_items(logs.arms, seed=0)
    except RewardError as error:
        messages.append(str(error))
    for read in (read_items, read_titles):
        try:
            read(path)
        except RewardError as error:
            messages.append(str(error))
    assert not [message for message in messages if "\n" in message or not message]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, min_size=1, max_size=8))
def test_hostile_rows_in_parquet(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as name:
        try:
            table = make_table(rows)
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            return  # what Arrow cannot hold, no parquet file holds
        pq.write_table(table, Path(name) / "logs.parquet")
        survives(Path(name), Path(name) / "logs.parquet")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.fixed_dictionaries({"item_id": TEXTS, "title": TEXTS, "n": st.integers(1, 3)}), min_size=1, max_size=8)
)
def test_hostile_texts_with_sound_counts(rows: list[dict[str, Any]]) -> None:
    """Texts that are neither empty nor too long are read as they are, but for blanks at their ends."""
    sound = [
        {"item_id": r["item_id"], "title": r["title"], "clicks": 1, "impressions": 10**9 * r["n"]}
        for r in rows
        if r["item_id"].strip() and r["title"].strip() and len(r["title"]) <= 5_000
    ]
    try:
        table = make_table(sound)
    except (pa.ArrowException, UnicodeEncodeError):
        return
    if not sound:
        return
    with TemporaryDirectory() as name:
        pq.write_table(table, Path(name) / "logs.parquet")
        arms = read_logs(Path(name) / "logs.parquet", threads=1).arms
    truth: dict[tuple[str, str], int] = {}
    for row in sound:
        key = (row["item_id"].strip(), row["title"].strip())
        truth[key] = truth.get(key, 0) + row["impressions"]
    assert list(zip(arms.item_ids, arms.title, strict=True)) == sorted(truth)
    assert arms.impressions.tolist() == [float(truth[key]) for key in sorted(truth)]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=120), st.booleans())
def test_hostile_bytes_in_csv(content: bytes, with_head: bool) -> None:
    with TemporaryDirectory() as name:
        path = Path(name) / "logs.csv"
        path.write_bytes((b"item_id,title,clicks\n" if with_head else b"") + content)
        survives(Path(name), path)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ROW, min_size=1, max_size=8), st.binary(max_size=20))
def test_hostile_rows_in_json_lines(rows: list[dict[str, Any]], tail: bytes) -> None:
    """Python writes NaN and Infinity, which are no JSON, and so may the end of the file be."""
    with TemporaryDirectory() as name:
        path = Path(name) / "logs.jsonl"
        path.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode() + tail)
        survives(Path(name), path)
