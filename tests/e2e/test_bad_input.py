"""Bad input through the real command line: exit code 1, one line that names the way out, the run untouched."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Outcome

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]


def rows(n_items: int = 20, **changes: Any) -> dict[str, Any]:
    """Good logs of ``n_items`` items with three titles each, with some columns replaced."""
    rng = np.random.default_rng(0)
    ids = [f"item{i}" for i in range(n_items) for _ in range(3)]
    titles = [f"{style} mug number {i}" for i in range(n_items) for style in ("Red", "Big cheap", "A very fine")]
    columns: dict[str, Any] = {
        "item_id": ids,
        "title": titles,
        "impressions": [1000] * len(ids),
        "clicks": rng.integers(20, 60, len(ids)).tolist(),
        "color": ["red"] * len(ids),
    }
    columns.update(changes)
    return {name: values for name, values in columns.items() if values is not None}


def replaced(name: str, row: int, value: object) -> dict[str, Any]:
    """Good logs with one value replaced."""
    values = list(rows()[name])
    values[row] = value
    return rows(**{name: values})


def parquet(columns: dict[str, Any]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / "logs.parquet")
        return folder / "logs.parquet"

    return write


def raw(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


BAD_LOGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing file": (lambda folder: folder / "none.parquet", r"Cannot read .*none\.parquet: no such file or folder"),
    "empty file": (raw("logs.parquet", b""), r"is empty \(0 bytes\)"),
    "empty folder": (lambda folder: folder, r"no .parquet, .csv or .jsonl file in this folder"),
    "no rows": (parquet({name: pa.array(v)[:0] for name, v in rows().items()}), r"no rows|holds no"),
    "damaged parquet": (raw("logs.parquet", b"PAR1 and then nonsense"), r"Cannot read .*logs\.parquet"),
    "another format": (raw("logs.docx", b"PK\x03\x04"), r"neither parquet, CSV nor JSON lines"),
    "missing column": (
        parquet({("headline" if name == "title" else name): v for name, v in rows().items()}),
        r"no column 'title'.*Did you mean 'headline'\?.*--columns title=headline",
    ),
    "clicks > impressions": (parquet(replaced("clicks", 4, 2000)), r"clicks .*impressions.*2,?000"),
    "negative count": (parquet(replaced("clicks", 4, -3)), r"clicks must .*-3"),
    "NaN count": (
        parquet(rows(clicks=[float("nan"), *map(float, rows()["clicks"][1:])])),
        r"clicks must .*",
    ),
    "text count": (parquet(rows(clicks=["many", *map(str, rows()["clicks"][1:])])), r"clicks must .*many"),
    "fractional count": (parquet(rows(clicks=[1.5, *map(float, rows()["clicks"][1:])])), r"clicks must .*1\.5"),
    "propensity 0": (parquet(rows(propensity=[0.0] + [1 / 3] * 59)), r"propensity must .*Got '0\.0' in row 1"),
    "propensity 1.7": (parquet(rows(propensity=[1.7] + [1 / 3] * 59)), r"propensity must .*Got '1\.7' in row 1"),
    "not UTF-8": (raw("logs.csv", "item_id,title,clicks\n1,Caf\xe9 cr\xe8me,1\n".encode("latin1")), r"is not UTF-8"),
    "10,000-character title": (parquet(replaced("title", 0, "x" * 10_000)), r"title must have at most 5,000"),
    "empty title": (parquet(replaced("title", 0, " ")), r"title must not be empty"),
    "one item only": (parquet(rows(n_items=1)), r"one item only"),
    "no clicks at all": (parquet(rows(clicks=[0] * 60)), r"no click at all"),
    "one title per item": (
        parquet({name: values[::3] for name, values in rows().items()}),
        r"(one|single|two) title|titles? (of|for|per) (one|an|each) item",
    ),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a finished fit-reward."""
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("finished")
    logs = parquet(rows(n_items=40))(folder)
    assert run(["fit-reward", str(logs), "--run", str(folder / "run"), "--members", "1"]) == 0
    return folder / "run"


def check(outcome: Outcome, pattern: str) -> None:
    assert outcome.code == 1, outcome
    assert outcome.out == ""
    lines = outcome.err.strip().splitlines()
    assert lines[-1].startswith("Error: "), outcome.err
    assert not any("Traceback" in line for line in lines)
    assert sum(line.startswith("Error") for line in lines) == 1
    assert re.search(pattern, lines[-1]), lines[-1]
    assert "bug in rlopt" not in lines[-1]


@pytest.mark.parametrize("name", BAD_LOGS)
def test_bad_logs(name: str, rlopt: Rlopt, tmp_path: Path, finished: Path, tree_hash: TreeHash) -> None:
    write, pattern = BAD_LOGS[name]
    logs = write(tmp_path)
    before = tree_hash(finished)
    check(rlopt("fit-reward", logs, "--run", finished), pattern)
    assert tree_hash(finished) == before
    check(rlopt("fit-reward", logs, "--run", tmp_path / "fresh"), pattern)
    assert not (tmp_path / "fresh").exists()


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--columns", "title"], r"--columns takes name=column pairs"),
        (["--columns", "titel=title"], r"Unknown column 'titel'.*Did you mean 'title'\?"),
        (["--columns", "title=headlin"], r"no column 'headlin'"),
        (["--judge-share", "0.8", "--test-share", "0.4"], r"sum must be below 1"),
        (["--members", "0"], r"members must be"),
        (["--config", "none.yaml"], r"There is no config file none\.yaml"),
    ],
)
def test_bad_settings(
    arguments: list[str], pattern: str, rlopt: Rlopt, tmp_path: Path, finished: Path, tree_hash: TreeHash
) -> None:
    logs = parquet(rows())(tmp_path)
    before = tree_hash(finished)
    check(rlopt("fit-reward", logs, "--run", finished, *arguments), pattern)
    assert tree_hash(finished) == before


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["--shots", "2"], r"--shots asks a pretrained model.*Give --model"),
        (["--shots", "-1"], r"shots must be greater than or equal to 0"),
        (["--variants", "none.txt"], r"lexicon of variants none\.txt cannot be read"),
        (["--early-stopping", "0"], r"early_stopping must be greater than or equal to 1"),
        (["--drop-fields", "1"], r"drop_fields must be less than 1"),
        (["--gguf-file", "a.gguf"], r"--gguf-file names a file of --model"),
        (["--report-to", "nowhere"], r"--report-to must be one of tensorboard, wandb, trackio"),
    ],
)
def test_bad_sft_settings(
    arguments: list[str], pattern: str, rlopt: Rlopt, finished: Path, tree_hash: TreeHash
) -> None:
    before = tree_hash(finished)
    check(rlopt("sft", "--steps", 1, "--run", finished, *arguments), pattern)
    assert tree_hash(finished) == before


def test_unknown_config_key(rlopt: Rlopt, tmp_path: Path, finished: Path, tree_hash: TreeHash) -> None:
    preset = tmp_path / "preset.yaml"
    preset.write_text("reward: {memebers: 3}\n")
    before = tree_hash(finished)
    check(rlopt("fit-reward", "x", "--run", finished, "--config", preset), r"memebers.*did you mean 'members'\?")
    assert tree_hash(finished) == before


def test_stages_out_of_order(rlopt: Rlopt, tmp_path: Path, finished: Path, tree_hash: TreeHash) -> None:
    check(rlopt("ppo", "--run", tmp_path / "none"), r"no run at .*rlopt fit-reward LOGS")
    before = tree_hash(finished)
    check(rlopt("offline-eval", "--run", finished), r"has no 'sft' yet. Run first: rlopt sft")
    check(
        rlopt("offline-eval", "--policy", "none.csv", "--run", finished),
        r"--policy must be one of ppo, sft, grpo, rloo.* of",
    )
    check(rlopt("generate", "x.parquet", "-o", tmp_path / "y.parquet", "--run", finished), r"has no 'ppo' yet")
    assert tree_hash(finished) == before


def test_damaged_model_folder(rlopt: Rlopt, tmp_path: Path, finished: Path, tree_hash: TreeHash) -> None:
    logs = parquet(rows())(tmp_path)
    files = (path.relative_to(finished) for path in (finished / "reward").iterdir())
    victims = sorted(file for file in files if file.name == "meta.json" or file.suffix == ".npz")
    assert len(victims) >= 3
    for victim in victims:
        for damage in (b"", b"\x00nonsense", None):
            run = tmp_path / "run"
            shutil.copytree(finished, run)
            if damage is None:
                (run / victim).unlink()
            else:
                (run / victim).write_bytes(damage)
            before = tree_hash(run)
            outcome = rlopt("score", logs, "-o", tmp_path / "out.parquet", "--run", run)
            check(outcome, r"reward")
            assert tree_hash(run) == before
            assert not (tmp_path / "out.parquet").exists()
            shutil.rmtree(run)


def test_damaged_manifest(rlopt: Rlopt, tmp_path: Path, finished: Path, tree_hash: TreeHash) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "manifest.json").write_text('{"stages": {')
    before = tree_hash(run)
    logs = parquet(rows())(tmp_path)
    check(rlopt("fit-reward", logs, "--run", run), r"manifest\.json is damaged")
    check(rlopt("ppo", "--run", run), r"manifest\.json is damaged")
    assert tree_hash(run) == before


@pytest.mark.parametrize(
    ("out", "pattern"),
    [
        ("out.xlsx", r"must end in \.parquet or \.csv"),
        ("", r"must end in \.parquet or \.csv"),
        ("file/out.parquet", r"a part of the path is a file"),
    ],
)
def test_an_output_that_cannot_be(rlopt: Rlopt, tmp_path: Path, finished: Path, out: str, pattern: str) -> None:
    (tmp_path / "file").write_text("x")
    logs = parquet(rows())(tmp_path)
    check(rlopt("score", logs, "-o", tmp_path / out, "--run", finished), pattern)


IN_OWN_MOUNTS = """
import json, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.conftest import folder_hash
from rlopt.cli.main import run
mount, source, logs, options = Path(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[5]
subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], check=True)
subprocess.run(["cp", "-a", source, mount / "run"], check=True)
if len(sys.argv) > 6:
    subprocess.run(["mount", "-o", "remount," + sys.argv[6], mount], check=True)
parts = ("data", "reward", "judge")
def state():
    manifest = json.loads((mount / "run" / "manifest.json").read_text())
    return [manifest["stages"], *(folder_hash(mount / "run" / part) for part in parts)]
before = state()
code = run(["fit-reward", logs, "--run", str(mount / "run"), "--members", "1", "--seed", "5"])
print(json.dumps({"code": code, "intact": state() == before}))
"""


@pytest.fixture
def in_own_mounts(root: Path, tmp_path: Path, finished: Path) -> Callable[..., tuple[dict[str, Any], str]]:
    """Run fit-reward on a copy of the finished run in a small file system of its own."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs Linux user namespaces (unshare -rm) to mount a small file system")
    mount = tmp_path / "mount"
    mount.mkdir()
    logs = parquet(rows(n_items=400))(tmp_path)

    def call(*options: str) -> tuple[dict[str, Any], str]:
        done = subprocess.run(
            [unshare, "-rm", sys.executable, "-c", IN_OWN_MOUNTS, root, mount, finished, logs, *options],
            capture_output=True, text=True, timeout=120, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.stdout, done.stderr
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    return call


def test_full_disk(in_own_mounts: Callable[..., tuple[dict[str, Any], str]], finished: Path) -> None:
    used = sum(p.stat().st_size // 4096 * 4 + 8 for p in finished.rglob("*"))
    outcome, err = in_own_mounts(f"size={used + 24}k")
    assert outcome == {"code": 1, "intact": True}, err
    assert re.search(r"Error: Cannot write .*: the disk is full", err.splitlines()[-1]), err


def test_read_only_run(in_own_mounts: Callable[..., tuple[dict[str, Any], str]]) -> None:
    outcome, err = in_own_mounts("size=64m", "ro")
    assert outcome == {"code": 1, "intact": True}, err
    assert re.search(r"Error: Cannot write .*: the file system is read-only", err.splitlines()[-1]), err
