"""Mutated inputs through every command: no traceback, no "bug in rlopt", no hang, nothing lost.

    python tests/benchmarks/mutated_inputs.py --cases 300 --first-seed 0

Each case is a sound file of one command with one to three changes to its table, its bytes or the command's words. A
command must end with 0, 1 or 2 in a minute and a half; where it fails it says one line, and leaves its run and an
output that was there before as they were; the input is untouched in any case, and of it no row is missing from an
output. What breaks is printed with its seed.
"""

import argparse
import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tests.benchmarks import _mutations as mutations

SECONDS = 90
PRESET = """reward: {members: 1, learning_curve: false}
sft: {steps: 30, batch_size: 16}
eval: {samples: 1, best_of: 0, draws: 50}
"""
ENDINGS = (".parquet", ".csv", ".csv", ".tsv", ".jsonl")


class HungError(Exception):
    """A command took too long."""


@dataclass(frozen=True)
class Base:
    """A fitted run, and sound files for each command."""

    run: Path
    preset: Path
    logs: pd.DataFrame
    titles: pd.DataFrame
    items: pd.DataFrame
    results: pd.DataFrame
    tagged: pd.DataFrame


def base(folder: Path) -> Base:
    from rlopt.config import SimulateConfig
    from rlopt.stages.simulate import simulate

    simulate(folder / "logs.parquet", SimulateConfig(items=60, impressions=400_000, rows="arms"))
    preset = folder / "preset.yaml"
    preset.write_text(PRESET, encoding="utf-8")
    run = folder / "run"
    for words in (["fit-reward", str(folder / "logs.parquet"), "--config", str(preset)], ["sft"]):
        code, _, err = call([*words, "--run", str(run)])
        assert code == 0, err
    logs = pq.read_table(folder / "logs.parquet").to_pandas()
    plain = logs[[c for c in logs.columns if not isinstance(logs[c].iloc[0], (dict, list, np.ndarray))]]
    rng = np.random.default_rng(0)
    fields = [c for c in plain.columns if c not in ("impressions", "clicks", "conversions", "revenue", "propensity")]
    titles = plain[fields].head(40).reset_index(drop=True)
    ids = plain["item_id"].drop_duplicates()
    results = pd.DataFrame(
        [
            (arm, i, 1_000 + int(rng.integers(500)), int(rng.integers(20, 60)))
            for i in ids[:20]
            for arm in ("control", "new")
        ],
        columns=["arm", "item_id", "impressions", "clicks"],
    )
    tagged = pd.DataFrame(
        {"title": titles["title"], "entities": [json.dumps([["word", t.split()[0]]]) for t in titles["title"]]}
    )
    return Base(run, preset, plain, titles, titles.drop_duplicates("item_id").head(6), results, tagged)


def call(words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command in this process."""
    from rlopt.cli.main import run

    out, err = io.StringIO(), io.StringIO()

    def hung(*_: object) -> None:
        raise HungError

    signal.signal(signal.SIGALRM, hung)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
    finally:
        signal.alarm(0)
    return code, out.getvalue(), err.getvalue()


Words = Callable[[Base, Path, Path, Path, np.random.Generator], list[str]]
COMMANDS: dict[str, tuple[str, Words]] = {
    "check-logs": ("logs", lambda b, f, o, r, g: ["check-logs", str(f)]),
    "check-logs again": ("logs", lambda b, f, o, r, g: ["check-logs", str(f), "--json", *_options(g)]),
    "fit-reward": (
        "logs", lambda b, f, o, r, g: ["fit-reward", str(f), "--config", str(b.preset), "--run", str(r / "new")],
    ),
    "update": ("logs", lambda b, f, o, r, g: ["fit-reward", str(f), "--update", "--run", str(r)]),
    "score": ("titles", lambda b, f, o, r, g: ["score", str(f), "-o", str(o), "--run", str(r)]),
    "score again": ("titles", lambda b, f, o, r, g: ["score", str(f), "-o", str(o), "--run", str(r), *_columns(g)]),
    "generate": ("items", lambda b, f, o, r, g: ["generate", str(f), "-o", str(o), "--policy", "sft", "--run", str(r)]),
    "evaluate-text": ("titles", lambda b, f, o, r, g: ["evaluate-text", str(f), "--run", str(r)]),
    "offline-eval": (
        "logs", lambda b, f, o, r, g: ["offline-eval", "--policy", str(f), "--trained-on", "nothing", "--run", str(r)],
    ),
    "trained-on": (
        "items",
        lambda b, f, o, r, g: [
            "offline-eval", "--policy", str(b.preset.parent / "titles.csv"), "--trained-on", str(f), "--run", str(r),
        ],
    ),
    "ab-analyze": ("results", lambda b, f, o, r, g: ["ab-analyze", str(f), "--run", str(r)]),
    "explain": ("titles", lambda b, f, o, r, g: ["explain", str(_nasty(g)), "--item", str(_nasty(g)), "--run", str(r)]),
    "tag fit": ("tagged", lambda b, f, o, r, g: ["tag", "fit", str(f), "--epochs", "1", "--run", str(r / "tags")]),
    "logs-sql": (
        "titles", lambda b, f, o, r, g: ["logs-sql", "--dialect", "duckdb", "--table", str(_nasty(g)), *_columns(g)],
    ),
    "query": ("logs", lambda b, f, o, r, g: ["check-logs", f"duckdb:///{f}", "--query", str(_nasty(g))]),
}  # fmt: skip


def _nasty(rng: np.random.Generator) -> Any:
    return mutations.NASTY[int(rng.integers(len(mutations.NASTY)))]


def _columns(rng: np.random.Generator) -> list[str]:
    return [
        "--columns",
        str(
            rng.choice(
                ["title=item_id", "item_id=title", "title=", "x=y", "=", "title=a+b", "position=", ",,", "item_id=a+"]
            )
        ),
    ]


def _options(rng: np.random.Generator) -> list[str]:
    return list(rng.choice([["--copies", "keep"], ["--decimal", ","], ["--missing", "-1"], ["--columns", "position="]]))


def one(case: Base, seed: int, folder: Path) -> tuple[str, str, list[str]]:
    """Command, what came of it, and what is wrong with that."""
    rng = np.random.default_rng(seed)
    name = list(COMMANDS)[seed % len(COMMANDS)]
    kind, words = COMMANDS[name]
    table: pd.DataFrame = getattr(case, kind)
    for _ in range(int(rng.integers(1, 3))):
        if len(table.columns) > 1:
            table = mutations.table(table, rng)
    file = folder / f"input{rng.choice(ENDINGS)}"
    if not mutations.write(table, file):
        return name, "not writable", []
    if rng.random() < 0.35:
        file.write_bytes(mutations.content(file.read_bytes(), rng))
    run = folder / "run"
    shutil.copytree(case.run, run)
    out = folder / f"out{rng.choice(['.parquet', '.csv'])}"
    out.write_bytes(b"what was there before")
    before, content = _tree(run), file.read_bytes()
    arguments = words(case, file, out, run, rng)
    try:
        code, told, err = call(arguments)
    except HungError:
        return name, "hung", [f"more than {SECONDS} s"]
    except BaseException as error:
        return name, "escaped", [repr(error)]
    return name, str(code), list(_wrong(name, code, told, err, (run, before), (file, content), out, table))


def _wrong(
    name: str,
    code: int,
    told: str,
    err: str,
    run: tuple[Path, str],
    given: tuple[Path, bytes],
    out: Path,
    table: pd.DataFrame,
) -> Iterator[str]:
    if "Traceback" in told + err or "bug in rlopt" in told + err:
        yield next(line for line in (told + err).splitlines() if "bug in rlopt" in line or "Traceback" in line)
    if code not in (0, 1, 2):
        yield f"exit code {code}"
    if code and not name.startswith("check-logs") and _errors(err) != 1 and "fit-reward refuses these logs" not in told:
        yield f"{err.count('Error: ')} lines begin with Error: {err[-300:]!r}"
    if given[0].read_bytes() != given[1]:
        yield "the input was changed"
    if code and _tree(run[0]) != run[1]:
        yield f"the run was changed: {err[-200:]!r}"
    if code and out.read_bytes() != b"what was there before":
        yield "the output was replaced"
    if not code and name.startswith("score") and out.suffix == ".parquet" and given[0].suffix == ".parquet":
        rows = pq.read_metadata(out).num_rows
        if rows != pq.read_metadata(given[0]).num_rows:
            yield f"{rows} rows of {pq.read_metadata(given[0]).num_rows}"


def _errors(err: str) -> int:
    return sum(line.startswith("Error: ") for line in err.splitlines())


def _tree(folder: Path) -> str:
    """Hash of what the stages wrote; caches, locks and metrics grow."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if (
            path.is_file()
            and place.parts[0] not in ("encodings", "metrics", "checkpoints", "new", "tags")
            and ".lock" not in path.name
        ):
            digest.update(str(place).encode() + path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--first-seed", type=int, default=0)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    wrong, outcomes = 0, Counter[tuple[str, str]]()
    with tempfile.TemporaryDirectory() as name:
        case = base(Path(name))
        case.titles.to_csv(Path(name) / "titles.csv", index=False)
        began = time.monotonic()
        for seed in range(options.first_seed, options.first_seed + options.cases):
            with tempfile.TemporaryDirectory(dir=name) as folder:
                command, outcome, problems = one(case, seed, Path(folder))
            outcomes[command, outcome] += 1
            wrong += bool(problems)
            for problem in problems:
                print(f"seed {seed}: {command} ({outcome}): {problem}", flush=True)
    for command in COMMANDS:
        counts = ", ".join(f"{outcome}: {n}" for (c, outcome), n in sorted(outcomes.items()) if c == command)
        print(f"{command:18} {counts}")
    print(f"{options.cases - wrong} of {options.cases} right, {time.monotonic() - began:.0f} s")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
