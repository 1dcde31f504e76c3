"""Links are never followed, an output never lies in a run, and an export keeps a user's files."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rlopt.errors import RunError
from rlopt.files import own_folder, recover_folders, remove, replacing_folders
from rlopt.run import Run
from rlopt.stages.common.shards import open_shards
from rlopt.stages.export.stage import RECORD, _check_place, _workplace
from tests.conftest import Outcome
from tests.stages.menu import make_arms, make_run

Rlopt = Callable[..., Outcome]
TreeHash = Callable[[Path], str]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder of the user's that a link points to, with names that rlopt's own folders hold."""
    folder = tmp_path / "victim"
    (folder / ("0" * 32)).mkdir(parents=True)
    (folder / "fit-reward").mkdir()
    for name in ("000000.parquet", "precious.parquet", "key", ".tmp-x", "fit-reward/old", "0" * 32 + "/old"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(30))


def test_remove_takes_the_link_and_leaves_what_it_points_to(tmp_path: Path, victim: Path, tree_hash: TreeHash) -> None:
    before = tree_hash(victim)
    inside = tmp_path / "folder"
    inside.mkdir()
    (inside / "link").symlink_to(victim)
    (tmp_path / "link").symlink_to(victim)
    for path in (inside, tmp_path / "link", tmp_path / "nothing"):
        remove(path)
        assert not os.path.lexists(path)
    assert tree_hash(victim) == before


@pytest.mark.parametrize("name", [".out.parquet.parts", ".out.parquet.parts/000001.parquet", ".out.parquet.parts/key"])
def test_shards_are_not_written_or_emptied_through_a_link(
    tmp_path: Path, victim: Path, tree_hash: TreeHash, name: str
) -> None:
    before = tree_hash(victim)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(victim if name.endswith("parts") else victim / "precious.parquet")
    with (
        pytest.raises(RunError, match=r"is a link, and links are not followed"),
        open_shards(tmp_path / "out.parquet", "key"),
    ):
        pass
    assert tree_hash(victim) == before


def test_a_folder_of_the_users_with_the_name_of_the_shards_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / ".out.parquet.parts"
    folder.mkdir()
    (folder / "precious.parquet").write_text("mine")
    with (
        pytest.raises(RunError, match=r"holds 'precious.parquet', which rlopt did not write"),
        open_shards(tmp_path / "out.parquet", "key"),
    ):
        pass
    assert (folder / "precious.parquet").read_text() == "mine"


@pytest.mark.parametrize("name", [".out.parts", ".out.parts/" + "1" * 32])
def test_an_export_does_not_work_through_a_link(tmp_path: Path, victim: Path, tree_hash: TreeHash, name: str) -> None:
    before = tree_hash(victim)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).symlink_to(victim)
    with pytest.raises(RunError, match="is a link"), _workplace(tmp_path / "out", "2" * 32):
        pass
    assert tree_hash(victim) == before


def test_an_export_is_not_written_through_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "out").symlink_to(victim)
    with pytest.raises(RunError, match="is a link"):
        _check_place(tmp_path / "out", tmp_path / "policy")


def test_an_export_keeps_a_users_files(tmp_path: Path) -> None:
    """An export replaces only what an export wrote."""
    out = tmp_path / "out"
    out.mkdir()
    assert _check_place(out, tmp_path / "policy") == out
    (out / "model.safetensors").write_text("x")
    with pytest.raises(RunError, match="was not written by export"):
        _check_place(out, tmp_path / "policy")
    (out / RECORD).write_text(json.dumps({"files": [RECORD, "model.safetensors"]}))
    assert _check_place(out, tmp_path / "policy") == out
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"holds 'notes.txt', which export did not write"):
        _check_place(out, tmp_path / "policy")
    (out / RECORD).write_text("{")
    with pytest.raises(ValueError, match=r"export.json is damaged .*Choose a new folder"):
        _check_place(out, tmp_path / "policy")


class Killed(BaseException):
    pass


def _be_killed(out: Path) -> None:
    with _workplace(out, "1" * 32) as work:
        (work / "half").write_text("x")
        with replacing_folders(out.parent, ["out"], scratch=work.parent) as fresh:
            (fresh["out"] / "half").write_text("x")
            raise Killed


def test_an_interrupted_export_clears_up_after_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it writes, and between the two moves: all leftovers lie in its own folder, and the next takes them
    away; a folder moved aside returns."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("old")
    monkeypatch.setattr("rlopt.files.remove", lambda _: None)  # a killed process clears nothing up
    with pytest.raises(Killed):
        _be_killed(out)
    (tmp_path / ".out.parts" / ".old-out").mkdir()
    out.rename(tmp_path / ".out.parts" / ".old-out")
    assert [path.name for path in tmp_path.iterdir()] == [".out.parts"]
    monkeypatch.undo()
    with _workplace(out, "2" * 32):
        assert (out / "old").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name",
    ["checkpoints", "checkpoints/fit-reward", "reward", "metrics/ppo.jsonl", "data/splits.json", "cache", ".old-reward",
     ".tmp-x", "manifest.json", "updates"],
)  # fmt: skip
def test_a_link_in_a_run_is_refused_and_never_emptied_through(
    run: Run, victim: Path, rlopt: Rlopt, tree_hash: TreeHash, name: str
) -> None:
    path = run / name
    path.parent.mkdir(exist_ok=True)
    remove(path)
    path.symlink_to(victim)
    before = tree_hash(victim)
    with pytest.raises(RunError, match="is a link"):
        Run.open(run.path)
    for command in (["fit-reward", victim], ["offline-eval"], ["score", victim, "-o", run.path.parent / "o.parquet"]):
        outcome = rlopt(*command, "--run", run.path)
        assert outcome.code == 1
        assert "is a link, and links are not followed here" in outcome.err
    assert tree_hash(victim) == before


def test_a_link_that_comes_after_opening_is_refused_by_the_next_stage(run: Run, victim: Path) -> None:
    (run / "checkpoints").symlink_to(victim)
    with pytest.raises(RunError, match="is a link"), run.stage("sft", {}):
        pass


def test_a_run_may_lie_behind_a_link(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run.path)
    opened = Run.open(tmp_path / "link")
    with opened.stage("sft", {"seed": 1}), opened.replacing("sft") as folder:
        (folder / "x").write_text("new")
    assert (run / "sft" / "x").read_text() == "new"


def test_metrics_are_not_written_through_a_link(run: Run, victim: Path) -> None:
    writer = run.metrics("sft")
    writer.path.symlink_to(victim / "key")
    with pytest.raises(RunError, match="is a link"):
        writer.write({"step": 1})
    assert (victim / "key").read_text() == "mine"


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "{here}/titles.csv", "-o", "{run}/reward/x.parquet"],
        ["score", "{here}/titles.csv", "-o", "{run}/x.parquet"],
        ["export", "--quantize", "int8", "-o", "{run}/small"],
        ["tag", "apply", "{here}/titles.csv", "-o", "{run}/data/x.csv"],
        ["simulate", "-o", "{run}/eval/logs.parquet"],
        ["score", "{here}/titles.csv", "-o", "{link}/x.parquet"],
    ],
)
def test_outputs_in_a_run_are_refused(
    run: Run, tmp_path: Path, rlopt: Rlopt, tree_hash: TreeHash, command: list[str]
) -> None:
    """Also in another run than the command's own, and by way of a link."""
    other = make_run(tmp_path / "other", make_arms(12))
    with run.stage("tag", {}):
        pass
    (tmp_path / "link").symlink_to(other / "reward")
    (other / "reward").mkdir()
    before = tree_hash(other.path)
    (tmp_path / "titles.csv").write_text("item_id,title\ni0000,A title\n", encoding="utf-8")
    words = [word.format(run=other.path, link=tmp_path / "link", here=tmp_path) for word in command]
    outcome = rlopt(*words, *([] if command[0] == "simulate" else ["--run", run.path]))
    assert outcome.code == 1
    assert "lies in the run directory" in outcome.err.splitlines()[-1]
    assert tree_hash(other.path) == before


def test_leftovers_that_are_links_go_and_what_they_point_to_stays(
    tmp_path: Path, victim: Path, tree_hash: TreeHash
) -> None:
    before = tree_hash(victim)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (".old-reward", ".tmp-x"):
        (folder / name).symlink_to(victim)
    recover_folders(folder)
    assert list(folder.iterdir()) == []
    assert tree_hash(victim) == before


def test_own_folder_takes_pipes_for_strangers(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RunError, match="neither a file nor a folder"):
        own_folder(tmp_path, lambda _: True)
