"""Wide logs: read a few columns at a time, with the same fields as at once; the widest keep what fits in memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reward.logs import item_fields
from reward.logs.catalogue import open_catalogue
from reward.logs.read import LogData, read_logs

N_ITEMS, EACH, WIDTH = 40, 6, 84


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with columns of every kind: of the item, of most of its rows, of the row, of nothing; and some nested."""
    rng = np.random.default_rng(0)
    n = N_ITEMS * EACH
    item = np.repeat(np.arange(N_ITEMS), EACH)
    columns: dict[str, object] = {
        "item_id": [f"i{i:03d}" for i in item],
        "title": [f"title {k % 3} of {i}" for k, i in enumerate(item)],
        "clicks": rng.integers(0, 2, n),
    }
    for c in range(WIDTH):
        own = rng.integers(0, 1000, N_ITEMS)[item]
        if c % 7 == 1:  # a few rows say otherwise
            own = np.where(rng.random(n) < 0.1, -1, own)
        if c % 7 == 2:
            own = rng.integers(0, 1000, n)
        columns[f"c{c}"] = {
            0: own.astype(float) / 8,
            3: [f" text {v} " if v % 3 else "N/A" for v in own],
            4: [None] * n,
            5: own % 2 == 0,
        }.get(c % 7, own)
        if c % 14 == 6:
            columns[f"nested{c}"] = [f'{{"colour": "red {v}", "c0": "more {c}"}}' for v in own]
    path = tmp_path_factory.mktemp("wide") / "logs.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def fields(data: LogData) -> list[str]:
    return [item.to_json() for item in data.arms.items]


@pytest.mark.parametrize("at_once", [1, 7, 32])
def test_blocks_give_the_same_fields(logs: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """In the same order, too: a field that several columns name has their values in the columns' order."""
    monkeypatch.setattr(item_fields, "_AT_ONCE", 10_000)
    whole = read_logs(logs, memory_limit="8GB")  # all at once takes what blocks are there to save
    assert len(whole.context_columns) > 50
    assert any(len(values) > 3 for values in (item.fields["colour"] for item in whole.arms.items))
    monkeypatch.setattr(item_fields, "_AT_ONCE", at_once)
    parts = read_logs(logs)
    assert fields(parts) == fields(whole)
    assert (parts.context_columns, dict(parts.dropped_columns)) == (whole.context_columns, dict(whole.dropped_columns))


def test_the_widest_keep_texts_first_and_say_what_they_left(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = read_logs(logs)
    monkeypatch.setattr(item_fields, "ALWAYS_KEPT", 20)
    assert fields(read_logs(logs)) == fields(whole)  # few items: all fit
    monkeypatch.setattr(item_fields, "MAX_VALUES", 40 * N_ITEMS)
    few = read_logs(logs)
    assert len(few.context_columns) == 40
    texts = {c for c in whole.context_columns if c.startswith("nested") or int(c[1:]) % 7 in (3, 5)}
    assert texts <= set(few.context_columns)
    left = [why for why in few.dropped_columns.values() if "fit in memory" in why]
    assert len(left) == len(whole.context_columns) - 40
    assert "of which 40 fit in memory for 40 items: texts first" in left[0]


def test_memory_does_not_grow_with_the_width(tmp_path: Path, root: Path) -> None:
    """1,500 numbers a row in a process with 256 MB for the engine: at once, this takes several times as much."""
    rng = np.random.default_rng(0)
    n = 20_000
    columns = {
        "item_id": [f"i{k // 8}" for k in range(n)],
        "title": [f"t{k % 4}" for k in range(n)],
        "clicks": [1, 0] * (n // 2),
    }
    pq.write_table(
        pa.table(columns | {f"x{c}": rng.random(n, dtype=np.float32) for c in range(1500)}), tmp_path / "l.parquet"
    )
    script = (
        "import sys; from reward.logs.read import read_logs;"
        "data = read_logs(sys.argv[1], memory_limit='256MB', threads=1);"
        "lines = open('/proc/self/status').read().split('VmHWM:') if sys.platform == 'linux' else ['', '0 kB'];"
        "print(len(data.dropped_columns), int(lines[1].split()[0]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "l.parquet"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    dropped, peak = map(int, done.stdout.split())
    assert dropped == 1500
    assert peak < 1000  # of this process: its rusage would begin at what pytest has used


def test_a_wide_catalogue_fits_in_memory_too(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    names = [f"field{i}" for i in range(200)]
    values = ",".join(f"value {i}" for i in range(200))
    path.write_text(f"item_id,title,{','.join(names)}\n1,Red shoe,{values}\n2,Blue shoe{',' * 200}\n")
    with open_catalogue(path, memory_limit="300MB") as catalogue:
        red, blue = (item for piece in catalogue.chunks(10) for item in piece)
    assert red.fields == {name: (f"value {i}",) for i, name in enumerate(names)}
    assert blue.fields == {}
