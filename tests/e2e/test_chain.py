"""The three commands, chained with no other flag, in English and Chinese; then what documents show, and the demo."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq
import pytest

from tests.conftest import Outcome
from tests.documented import DOCUMENTS, in_blocks

Rlopt = Callable[..., Outcome]
# What documents show and other tests run: it trains, serves, takes long, or needs the results of a plan.
LEFT = (
    "ab-plan --dry-run",
    "compare",
    "demo",
    "export",
    "fit-reward",
    "ppo",
    "probe --attacks",
    "push",
    "review",
    "serve",
)
LEFT += ("sft", "simulate -o logs.parquet --items 2000", "tag", "try", "ab-analyze results.csv --plan")
LEFT += (
    "check-logs logs.parquet --plan",
    "explore titles.parquet -o plan-2.parquet",
    "generate ITEMS",
    "generate products",
    "offline-eval --run",
)
SHOWN = {" ".join(shown.words): shown.words for path in DOCUMENTS for shown in in_blocks(path)}
RUN = [words for text, words in SHOWN.items() if not text.startswith(LEFT)]


@pytest.fixture(scope="module", autouse=True)
def _no_network() -> Iterator[None]:
    """The defaults never reach for the network, not even for the file list of a hub."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"the chain tried to connect to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="module")
def finished_run(fitted_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fit-reward, ppo and offline-eval, by the real commands."""
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("finished") / "run"
    shutil.copytree(fitted_run, folder)
    assert run(["ppo", "--run", str(folder)]) == 0
    assert run(["offline-eval", "--run", str(folder)]) == 0
    return folder


def test_the_run_directory_is_laid_out_as_promised(finished_run: Path) -> None:
    for name in (
        "manifest.json",
        "reward/README.md",
        "judge/meta.json",
        "sft/model.safetensors",
        "ppo/model.safetensors",
        "ppo/config.json",
        "eval/report.html",
        "eval/report.json",
        "eval/titles.parquet",
        "metrics/sft.jsonl",
        "metrics/ppo.jsonl",
    ):
        assert (finished_run / name).is_file(), name
    models = [path for part in ("reward", "judge", "sft", "ppo") for path in (finished_run / part).rglob("*")]
    assert not [path for path in models if path.suffix in {".pkl", ".pickle", ".joblib", ".pt", ".bin"}]


def test_the_preset_given_to_fit_reward_rules_the_later_stages(finished_run: Path) -> None:
    from rlopt.run import Run

    run = Run.open(finished_run)
    assert run.record("sft")["config"]["steps"] == 40
    assert run.record("ppo")["config"]["steps"] == 3
    assert run.record("offline-eval")["config"]["draws"] == 100


def test_offline_eval_shows_the_truth_of_simulated_logs(finished_run: Path, rlopt: Rlopt) -> None:
    outcome = rlopt("offline-eval", "--run", finished_run, "--json")
    assert outcome.code == 0
    found = outcome.json
    assert found["verdict"] in {"launch", "hold", "insufficient-evidence"}
    assert found["low"] <= found["estimated_lift"] <= found["high"]
    assert -1 < found["true_lift"] < 1
    assert found["reasons"]


def test_compare_puts_the_policies_side_by_side(finished_run: Path, rlopt: Rlopt) -> None:
    outcome = rlopt("compare", "--run", finished_run, "--max-items", 10, "--best-of", 2, "--json")
    assert outcome.code == 0
    assert [row["name"] for row in outcome.json["contenders"]] == ["sft", "ppo", "best of 2", "oracle best of 2"]
    assert (finished_run / "compare" / "lift_against_kl.svg").exists()
    assert (finished_run / "metrics" / "ppo.svg").exists()


def test_probe_says_what_fools_the_run_and_the_report_tells_it(
    finished_run: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    run, mine = tmp_path / "run", tmp_path / "mine.yaml"
    shutil.copytree(finished_run, run)
    mine.write_text('shout: "{title} best ever"\n', encoding="utf-8")
    outcome = rlopt("probe", "--run", run, "--attacks", mine, "--json")
    assert outcome.code == 0
    verdicts = {one["attack"]: one["verdict"] for one in outcome.json["attacks"]}
    assert verdicts["as logged"] == "control"
    assert verdicts["foreign"] == "below"  # titles of other items name what the item is not
    assert {"shuffled", "spliced", "stuffed", "cut", "false value", "promise", "case", "order", "shout"} <= set(
        verdicts
    )
    assert "## What fools it" in (run / "reward" / "README.md").read_text(encoding="utf-8")
    assert "foreign" in rlopt("probe", "--run", run).out
    assert rlopt("offline-eval", "--run", run).code == 0
    assert "Attacks on this run" in (run / "eval" / "report.html").read_text(encoding="utf-8")
    mine.write_text("foreign: x\n", encoding="utf-8")
    assert rlopt("probe", "--run", run, "--attacks", mine).code == 1


@pytest.fixture(scope="module")
def documented(finished_run: Path, simulated_logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that documents name."""
    from rlopt.cli.main import run

    folder = tmp_path_factory.mktemp("documented")
    shutil.copy(simulated_logs, folder / "logs.parquet")
    items = pq.read_table(simulated_logs.with_name("logs.items.parquet")).slice(0, 10)
    for name in ("items.parquet", "ITEMS.parquet", "products.parquet"):
        pq.write_table(items, folder / name)
    wanted = [
        "generate",
        folder / "items.parquet",
        "-o",
        folder / "titles.parquet",
        "--replace-all",
        "--run",
        finished_run,
    ]
    assert run(list(map(str, wanted))) == 0
    titles = pq.read_table(folder / "titles.parquet").select(["item_id", "title"])
    pq.write_table(titles, folder / "TITLES.parquet")
    pc_csv.write_csv(titles.append_column("human", titles["title"]), folder / "agency.csv")
    (folder / "mine.yaml").write_text('shout: "{title} best ever"\n', encoding="utf-8")
    rows = [
        f"{arm},2026-03-0{day},i{n},1000,{50 + (7 * n + 3 * day + 5 * n * (arm == 'new')) % 11}"
        for arm in ("control", "new")
        for day in (1, 2)
        for n in range(9)
    ]
    (folder / "results.csv").write_text("\n".join(["arm,date,item_id,impressions,clicks", *rows]), encoding="utf-8")
    return folder


@pytest.mark.parametrize("simulated_logs", ["en"], indirect=True)
@pytest.mark.parametrize("words", RUN, ids=" ".join)
def test_what_documents_show_runs(
    words: tuple[str, ...],
    simulated_logs: Path,
    documented: Path,
    finished_run: Path,
    rlopt: Rlopt,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(documented, tmp_path, dirs_exist_ok=True)
    shutil.copytree(finished_run, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RLOPT_RUN", "run")
    known = str(pq.read_table("items.parquet")["item_id"][0])
    outcome = rlopt(*(known if word == "sku-1042" else word for word in words))
    assert outcome.code == 0, outcome.err
    outputs = [words[k + 1] for k, word in enumerate(words) if word in ("-o", "--assign", "--export")]
    assert all((tmp_path / output).exists() for output in outputs)


def test_score_adds_its_columns_and_keeps_the_rest(finished_run: Path, rlopt: Rlopt, tmp_path: Path) -> None:
    written = pq.read_table(finished_run / "eval" / "titles.parquet")
    titles = tmp_path / "titles.parquet"
    pq.write_table(written.filter(pc.field("title") != ""), titles)
    outcome = rlopt("score", titles, "-o", tmp_path / "scored.parquet", "--run", finished_run, "--json")
    assert outcome.code == 0
    before, after = pq.read_table(titles), pq.read_table(tmp_path / "scored.parquet")
    assert outcome.json["titles"] == len(before) == len(after)
    assert after["title"].to_pylist() == before["title"].to_pylist()
    for name in ("p_click", "p_conversion", "reward", "reward_std"):
        assert np.isfinite(after[name].to_numpy()).all()
    assert ((after["p_click"].to_numpy() > 0) & (after["p_click"].to_numpy() < 1)).all()


def test_generate_writes_titles_for_the_catalogue(
    finished_run: Path, simulated_logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    items = simulated_logs.with_name("logs.items.parquet")
    outcome = rlopt("generate", items, "-o", tmp_path / "out.csv", "--n", 2, "--run", finished_run, "--json")
    assert outcome.code == 0
    assert outcome.json["titles"] == 2 * outcome.json["items"] == 200
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith('"item_id","title","log_prob"')


@pytest.mark.parametrize("by", ["tokens", "titles"])
def test_an_ensemble_writes_and_can_be_traced(
    finished_run: Path, simulated_logs: Path, rlopt: Rlopt, tmp_path: Path, by: str
) -> None:
    items, out = tmp_path / "items.parquet", tmp_path / "out.parquet"
    pq.write_table(pq.read_table(simulated_logs.with_name("logs.items.parquet")).slice(0, 10), items)
    arguments = ("generate", items, "-o", out, "--run", finished_run, "--ensemble-by", by, "--replace-all")
    outcome = rlopt(*arguments, "--ensemble", finished_run / "sft", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["titles"] == 10
    assert b"rlopt.ensemble_fingerprints" in pq.read_schema(out).metadata
    outcome = rlopt(*arguments, "--ensemble", tmp_path / "none")
    assert outcome.code == 1
    assert "none is not a title policy" in outcome.err


def test_export_shows_before_and_after_and_its_folder_writes(
    finished_run: Path, simulated_logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    arguments = ("export", "-o", tmp_path / "small", "--prune", 0.25, "--run", finished_run, "--items", 5)
    outcome = rlopt(*arguments)
    assert outcome.code == 0, outcome.err
    assert "288 of 384 neurons" in outcome.out
    outcome = rlopt(*arguments, "--json")
    before, after = outcome.json["before"], outcome.json["after"]
    assert (before["name"], after["name"], outcome.json["items"]) == ("ppo", "ppo pruned", 5)
    assert before["megabytes"] - after["megabytes"] == pytest.approx(3 * 3 * 128 * 96 * 4 / 1e6, rel=0.01)
    assert 0 < after["reward"]["low"] <= after["reward"]["value"] <= after["reward"]["high"] < 1
    items = simulated_logs.with_name("logs.items.parquet")
    arguments = ("generate", items, "-o", tmp_path / "out.parquet", "--run", finished_run)
    assert rlopt(*arguments, "--policy", tmp_path / "small").code == 0
    assert pq.read_schema(tmp_path / "out.parquet").metadata[b"rlopt.policy"] == str(tmp_path / "small").encode()
    outcome = rlopt(*arguments, "--policy", "grpo")
    assert outcome.code == 1
    assert "has no 'grpo' yet. Run first: rlopt ppo --algorithm grpo" in outcome.err


def test_a_refit_makes_the_policies_outdated(
    finished_run: Path, simulated_logs: Path, rlopt: Rlopt, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    assert rlopt("fit-reward", simulated_logs, "--run", run, "--seed", 1, "--members", 1).code == 0
    outcome = rlopt("offline-eval", "--run", run)
    assert outcome.code == 1
    assert "was done before 'fit-reward' changed. Run it again: rlopt sft" in outcome.err


def test_the_demo_never_overwrites_a_run_on_real_logs(
    fitted_run: Path, rlopt: Rlopt, tree_hash: Callable[[Path], str]
) -> None:
    before = tree_hash(fitted_run)
    outcome = rlopt("demo", "--run", fitted_run)
    assert outcome.code == 1
    assert "is no demo but a run on other logs" in outcome.err
    assert tree_hash(fitted_run) == before


def test_no_test_items_no_verdict(simulated_logs: Path, rlopt: Rlopt, tmp_path: Path) -> None:
    from rlopt.errors import EvaluationError
    from rlopt.run import Run
    from rlopt.stages.common.held_out import check_splits

    run = tmp_path / "run"
    shares = ("--judge-share", 0, "--test-share", 0, "--members", 1)
    outcome = rlopt("fit-reward", simulated_logs, "--run", run, *shares)
    assert outcome.code == 0
    assert "No item was held out" in outcome.out
    with pytest.raises(EvaluationError, match="judge-share 0"):
        check_splits(Run.open(run).splits())


@pytest.mark.parametrize("locale", ["en", "zh"])
def test_the_demo_gives_its_keys_and_continues(
    locale: str, rlopt: Rlopt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rlopt.stages import demo

    monkeypatch.chdir(tmp_path)
    small = "simulate: {items: 120, impressions: 200000}\nsft: {steps: 20}\neval: {samples: 1, best_of: 2, draws: 100}"
    (tmp_path / "small.yaml").write_text(small, encoding="utf-8")
    monkeypatch.setattr(demo, "PRESET", tmp_path / "small.yaml")
    arguments = ("demo", "--locale", locale, "--seed", 1, "--steps", 3)
    outcome = rlopt(*arguments, "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    promised = ("estimated_lift", "low", "high", "true_lift", "true_lift_over_logged", "faithfulness", "kl")
    assert found.keys() >= {*promised, "verdict", "seconds"}
    assert found["verdict"] in {"launch", "hold", "insufficient-evidence"}
    assert list(found["seconds"]) == ["simulate", "fit-reward", "sft", "ppo", "offline-eval"]
    assert 0 <= found["faithfulness"] <= 1
    run = tmp_path / "runs" / f"demo-{locale}-1"
    assert run.is_dir()

    again = rlopt(*arguments, "--run", run)  # finished: shows the same, does nothing
    assert again.code == 0
    assert "Verdict" in again.out
    assert "PPO  " not in again.err
