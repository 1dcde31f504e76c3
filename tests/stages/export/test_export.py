"""export: whole folders that load without rlopt, an untouched run, and titles nothing learned from to measure on."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.config import ExportConfig
from rlopt.errors import ConfigError, PolicyError, RunError
from rlopt.policy.pretrained import quiet_loading
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import Run
from rlopt.stages.common.monitor import monitor_items
from rlopt.stages.export import learn as export_learn
from rlopt.stages.export import quality as export_quality
from rlopt.stages.export.quality import items_to_measure_on
from rlopt.stages.export.stage import export
from rlopt.training.arguments import train_settings
from rlopt.training.sft import fine_tune
from tests.stages.menu import make_arms, make_run

QUICK = {"items": 8, "samples": 2, "titles": 4, "epochs": 12.0, "learning_rate": 1e-2}
LOADS = """
import importlib.abc, sys
class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split('.')[0] in ('rlopt', 'reward', 'envs', 'trl'):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder in sys.argv[1:]:
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[k] for k in ('missing_keys', 'unexpected_keys', 'mismatched_keys')), info
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer('<|title|>', return_tensors='pt').input_ids
    print(tokenizer.decode(model.generate(ids, max_new_tokens=12)[0], skip_special_tokens=True))
"""


class LikesLong:
    """A reward model that has never heard of the menu."""

    observational = False

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> SimpleNamespace:
        return SimpleNamespace(reward=np.array([0.01 * len(title) for title in titles]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose SFT policy writes the logged titles, and whose PPO policy is the same with other weights."""
    torch.set_num_threads(1)
    quiet_loading()
    folder = tmp_path_factory.mktemp("export")
    arms = make_arms(90)
    made = make_run(folder / "run", arms)
    train = arms.of_items(made.splits().train)
    pairs = [(item, str(title)) for item, title in zip(train.arm_items, train.title, strict=True)]
    renderer = SlotRenderer(Slots.learn(train.items))
    texts = [renderer.target(*pair) for pair in pairs]
    tokenizer = build_tokenizer(texts, renderer.slots)
    policy = TitlePolicy(build_model(tokenizer, 0, hidden_size=32, layers=2, heads=2), tokenizer, renderer, 12)
    settings = train_settings(policy.model, steps=100, batch_size=32, learning_rate=1e-2, save_every=1000, seed=0)
    policy = fine_tune(policy, pairs, settings, folder / "checkpoints")
    for name, factor in (("sft", 1.0), ("ppo", 1.05)):
        policy.model.get_input_embeddings().weight.data *= factor
        (made / name).mkdir()
        policy.save(made / name)
    return made


@pytest.fixture(autouse=True)
def _reward(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: LikesLong())
    monkeypatch.setattr(export_quality, "SPEED_ROUNDS", 1)


def config(**way: object) -> ExportConfig:
    return ExportConfig(**{**QUICK, **way})  # type: ignore[arg-type]


def test_every_way_writes_a_folder_that_loads_anywhere_and_touches_no_other(
    run: Run, tmp_path: Path, tree_hash: Callable[[Path], str]
) -> None:
    before = tree_hash(run.path)
    ways = {
        "pruned": {"prune": 0.5, "recover": 1.0},
        "student": {"distill_into": "tiny", "policy": "sft"},
        "soup": {"average": (str(run / "sft"),)},
    }
    try:
        import torchao  # noqa: F401  extra [int8]

        ways["int8"] = {"quantize": "int8"}
    except ImportError:
        pass
    for name, way in ways.items():
        result = export(run, tmp_path / name, config(**way))
        assert result.folder == tmp_path / name
        assert result.before.kl.value == 0
        assert (result.after.kl is None) == (name == "student")
        assert result.after.faithfulness is not None
        written = json.loads((tmp_path / name / "export.json").read_text(encoding="utf-8"))
        assert written["after"]["parameters"] == result.after.parameters
        assert result.how.split(".")[0] in (tmp_path / name / "README.md").read_text(encoding="utf-8")
        policy = TitlePolicy.load(tmp_path / name)
        assert policy.model.num_parameters() == result.after.parameters
        assert len(policy.generate(run.arms().items[:4], 2)) == 4
    assert tree_hash(run.path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(ways)  # nothing is left beside them
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *map(str, tmp_path.iterdir())], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip().splitlines()) == len(ways)


def test_a_soup_of_one_policy_with_itself_writes_the_same_titles(run: Run, tmp_path: Path) -> None:
    result = export(run, tmp_path / "soup", config(policy="sft", average=(str(run / "sft"), str(run / "sft"))))
    assert result.after.kl.value == 0
    assert (result.after.reward, result.after.chrf) == (result.before.reward, result.before.chrf)
    again = TitlePolicy.load(tmp_path / "soup").generate(run.arms().items[:9], 3, seed=1)
    assert again == TitlePolicy.load(run / "sft").generate(run.arms().items[:9], 3, seed=1)


def test_the_student_writes_what_its_teacher_writes(run: Run, tmp_path: Path) -> None:
    """Most of its titles are such as the teacher writes for the same items, of which it has seen none."""
    measured = items_to_measure_on(run, run.arms().of_items(run.splits().train), config())
    export(run, tmp_path / "student", config(policy="sft", distill_into="tiny", titles=8))
    student, teacher = TitlePolicy.load(tmp_path / "student"), TitlePolicy.load(run / "sft")
    known = [{t.text for t in titles} for titles in teacher.generate(measured.items, 30, seed=5)]
    written = student.generate(measured.items, 4, seed=6)
    same = np.mean([title.text in known[i] for i, titles in enumerate(written) for title in titles])
    assert same > 0.8


def test_nothing_learns_from_the_items_it_is_measured_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def watch(policy: TitlePolicy, pairs: Sequence[tuple[Item, str]], *rest: object) -> TitlePolicy:
        seen.extend(item.item_id for item, _ in pairs)
        return policy

    monkeypatch.setattr(export_learn, "fine_tune", watch)
    train = run.arms().of_items(run.splits().train)
    measured = {item.item_id for item in items_to_measure_on(run, train, config()).items}
    export(run, tmp_path / "student", config(distill_into="tiny"))
    assert len(measured) == 7  # a quarter of the train items
    assert set(seen)
    assert not set(seen) & measured
    assert set(seen) | measured <= set(run.splits().train)


def test_items_the_reward_has_not_seen_come_first(tmp_path: Path) -> None:
    arms = make_arms(600)
    large = make_run(tmp_path / "run", arms)
    train = arms.of_items(large.splits().train)
    unseen = monitor_items(train, 0.1, 0)
    measured = items_to_measure_on(large, train, config(items=len(unseen) + 5))
    assert len(measured.items) == len(unseen) + 5
    assert {item.item_id for item in measured.items} >= set(unseen)
    assert set(unseen)


def test_an_interrupted_distillation_goes_on_and_ends_the_same(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(distill_into="tiny", epochs=4.0)
    monkeypatch.setattr(export_learn, "SAVE_EVERY", 2)
    export(run, tmp_path / "whole", settings)
    wrote = []
    real = export_learn.fine_tune

    def stop(*arguments: object) -> TitlePolicy:
        policy = real(*arguments)  # type: ignore[arg-type]
        wrote.append(policy)
        raise KeyboardInterrupt

    monkeypatch.setattr(export_learn, "fine_tune", stop)
    with pytest.raises(KeyboardInterrupt):
        export(run, tmp_path / "broken", settings)
    assert not (tmp_path / "broken").exists()
    monkeypatch.setattr(export_learn, "fine_tune", real)
    monkeypatch.setattr(export_learn, "tiny_policy", lambda *_: pytest.fail("begun anew"))
    export(run, tmp_path / "broken", settings)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert weights[0] == weights[1]


def test_an_error_leaves_no_folder_and_an_earlier_export_stays(
    run: Run, tmp_path: Path, tree_hash: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(run, out, config(prune=0.5))
    before = tree_hash(out)
    with pytest.raises(PolicyError, match="would leave none of 96 neurons"):
        export(run, out, config(prune=0.999))
    monkeypatch.setattr(export_quality, "write_titles", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run, out, config(prune=0.2))
    assert tree_hash(out) == before
    monkeypatch.undo()
    monkeypatch.setattr(RewardModel, "load", lambda *_, **__: LikesLong())
    export(run, out, config(prune=0.25))  # its own folder it may write again
    assert TitlePolicy.load(out).model.config.intermediate_size == 72


def test_an_exported_folder_can_be_exported(run: Run, tmp_path: Path) -> None:
    export(run, tmp_path / "half", config(prune=0.5))
    result = export(run, tmp_path / "quarter", config(policy=str(tmp_path / "half"), prune=0.5))
    assert TitlePolicy.load(tmp_path / "quarter").model.config.intermediate_size == 24
    assert result.before.name == "half"


@pytest.mark.parametrize("way", [{}, {"prune": 0.5, "quantize": "int8"}])
def test_exactly_one_way_is_asked_for(run: Run, tmp_path: Path, way: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"exactly one of --quantize, --prune, .* Got {len(way)}"):
        export(run, tmp_path / "out", config(**way))


def test_places_that_are_not_its_own_are_refused(run: Run, tmp_path: Path, tree_hash: Callable[[Path], str]) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear", encoding="utf-8")
    before = tree_hash(tmp_path), tree_hash(run.path)
    for place, why in ((mine, "was not written by export"), (run / "ppo", "lies in the run"), (run / "x", "lies in")):
        with pytest.raises(RunError, match=why):
            export(run, place, config(prune=0.5))
    with pytest.raises(PolicyError, match=r"--policy must be one of ppo, sft, grpo, rloo.* of the run"):
        export(run, tmp_path / "out", config(policy="pppo", prune=0.5))
    with pytest.raises(PolicyError, match="mine is not a title policy"):
        export(run, tmp_path / "out", config(policy=str(mine), prune=0.5))
    with pytest.raises(PolicyError, match="mine is not a title policy"):
        export(run, tmp_path / "out", config(average=(str(mine),)))
    assert (tree_hash(tmp_path), tree_hash(run.path)) == before
