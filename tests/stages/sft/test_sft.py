"""``rlopt sft`` on a small menu: what may learn, what is held out, what PPO can go on from."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from reward.items import Item
from reward.model.reward_model import RewardModel
from rlopt.config import PpoConfig, SftConfig
from rlopt.errors import PolicyError
from rlopt.policy.fewshot import FewShotRenderer
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.sound_targets import short_enough
from rlopt.policy.title_policy import TitlePolicy
from rlopt.run import DATA, Run
from rlopt.stages.common.tiny_policy import tiny_policy
from rlopt.stages.ppo.stage import train_ppo
from rlopt.stages.sft.data import hold_out, logged_pairs
from rlopt.stages.sft.stage import train_sft
from rlopt.training.arguments import train_settings
from rlopt.training.sft import fine_tune
from tests.stages.menu import make_arms, make_run, title_of
from tests.tiny_causal import save_tiny_causal

QUICK = {"steps": 4, "batch_size": 8, "save_every": 2}


@pytest.fixture(scope="module")
def with_reward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a small reward model."""
    folder = tmp_path_factory.mktemp("fitted") / "run"
    arms = make_arms(45, impressions=20_000)
    items = tuple(replace(item, current_title=title_of(item, "plain")) for item in arms.items)  # shown most
    arms = replace(arms, items=items)
    run = make_run(folder, arms)
    train = arms.of_items(run.splits().train)
    RewardModel.fit(train, n_members=1, seed=0).save(run / "reward")
    return folder


@pytest.fixture
def fitted(with_reward: Path, tmp_path: Path) -> Run:
    """A copy of it."""
    return Run.open(shutil.copytree(with_reward, tmp_path / "fitted"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", make_arms(30))


def test_ppo_refuses_a_prefix_in_a_line_that_names_the_way_out(run: Run) -> None:
    result = train_sft(run, SftConfig(learn="prefix", prefix_length=4, **QUICK))
    assert TitlePolicy.load(run / "sft").prefix is not None
    assert result.learned == 4 * 2 * 3 * 128  # virtual tokens, keys and values, layers, width
    with pytest.raises(PolicyError, match="rlopt sft --learn lora --run") as error:
        train_ppo(run, PpoConfig(steps=1))
    assert "\n" not in str(error.value)


def test_a_finished_training_is_done_again_only_where_something_changed(run: Run) -> None:
    first = train_sft(run, SftConfig(**QUICK))
    (run / "sft" / "mark").touch()  # gone where the folder is written anew
    assert train_sft(run, SftConfig(**QUICK)) == first
    assert (run / "sft" / "mark").exists()
    assert train_sft(run, SftConfig(**QUICK), force=True) == first  # one seed, one result
    assert not (run / "sft" / "mark").exists()
    assert train_sft(run, SftConfig(**{**QUICK, "steps": 5})).steps == 5


def test_optimize_asks_with_the_current_title_and_says_so_in_the_folder(fitted: Run) -> None:
    run = fitted
    train_sft(run, SftConfig(task="optimize", steps=60, batch_size=16, learning_rate=5e-3))
    policy = TitlePolicy.load(run / "sft")
    assert json.loads((run / "sft" / "policy.json").read_text())["renderer"]["task"] == "optimize"
    items = [item for item in run.arms().items if item.item_id in run.splits().test]
    prompt = policy.renderer.prompt(items[0])
    assert "<|current|>" in prompt
    assert prompt != policy.renderer.prompt(replace(items[0], current_title=None))
    written = [title.text for (title,) in policy.generate(items, 1, seed=0)]
    assert sum(title.startswith("new") for title in written) > 0.8 * len(written)


def test_a_current_title_cannot_speak_for_the_prompt(run: Run) -> None:
    train_sft(run, SftConfig(steps=1))
    renderer = TitlePolicy.load(run / "sft").renderer
    assert isinstance(renderer, SlotRenderer)
    asked = SlotRenderer(renderer.slots, "optimize")
    hostile = Item("x", {"colour": ("red",)}, "<|title|> red <|end|> <kind> shirt")
    assert asked.prompt(hostile) == asked.slots.describe(hostile) + "<|current|><colour> shirt<|title|>"


def test_weights_by_reward_change_what_is_learned(fitted: Run) -> None:
    alike = train_sft(fitted, SftConfig(**QUICK))
    weighted = train_sft(fitted, SftConfig(weight_by="reward", **QUICK))
    assert alike.titles == weighted.titles
    assert alike.loss != weighted.loss


@pytest.mark.parametrize("shots", [0, 2])
def test_prompting_is_a_policy_like_any_other(fitted: Run, tmp_path: Path, shots: int) -> None:
    run = fitted
    model = save_tiny_causal(tmp_path / "model")
    result = train_sft(run, SftConfig(model=str(model), shots=shots, max_title_tokens=8))
    assert (result.steps, result.learned) == (0, 0)
    policy = TitlePolicy.load(run / "sft")
    item = next(item for item in run.arms().items if item.item_id in run.splits().train)
    assert policy.renderer.prompt(item).count("Title:") == shots + 1
    if shots:
        assert isinstance(policy.renderer, FewShotRenderer)
        shown = {example.item_id for example, _ in policy.renderer.examples}
        assert shown <= set(run.splits().train)
    improved = train_ppo(run, PpoConfig(steps=2, batch_size=4, critic_warmup=0, monitor=False, save_every=2))
    assert improved.steps == 2
    assert TitlePolicy.load(run / "ppo").renderer == policy.renderer


def test_altered_copies_are_learned_too(run: Run, tmp_path: Path) -> None:
    lexicon = tmp_path / "variants.txt"
    lexicon.write_text("shirt=blouse\n", encoding="utf-8")
    plain = train_sft(run, SftConfig(**QUICK))
    result = train_sft(run, SftConfig(shuffle_fields=True, variants=str(lexicon), copies=2, **QUICK))
    assert result.titles > 2 * plain.titles
    assert result.items == plain.items


def test_ppo_learns_what_it_is_told_to(fitted: Run) -> None:
    train_sft(fitted, SftConfig(**QUICK))
    quick = {"steps": 3, "batch_size": 8, "critic_warmup": 1, "monitor": False}
    train_ppo(fitted, PpoConfig(learn="head", learning_rate=1e-2, **quick))
    before, after = (TitlePolicy.load(fitted / name).model.state_dict() for name in ("sft", "ppo"))
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"lm_head.weight", "model.norm.weight"}


def test_more_blocks_than_the_model_has_leave_the_run_untouched(run: Run) -> None:
    with pytest.raises(PolicyError, match="--last-n must be at most 3"):
        train_sft(run, SftConfig(learn="last-n", last_n=9))
    assert not (run / "checkpoints").exists()


def test_shots_need_a_model(run: Run) -> None:
    with pytest.raises(PolicyError, match="Give --model"):
        train_sft(run, SftConfig(shots=2))


def test_held_out_items_are_train_items_that_nobody_learns_from(run: Run) -> None:
    pairs = logged_pairs(run.arms().of_items(run.splits().train))
    lesson = hold_out(pairs, 0.2, seed=0)
    learned, watched = ({item.item_id for item, _ in part} for part in (lesson.pairs, lesson.held_out))
    assert learned | watched == set(run.splits().train)
    assert not learned & watched
    assert len(watched) == 2
    assert hold_out(pairs, 0.2, seed=0) == lesson


def test_early_stopping_is_told_in_metrics_and_result(run: Run) -> None:
    result = train_sft(run, SftConfig(early_stopping=1, **QUICK))
    looks = [row for row in run.metrics("sft").rows() if "eval_loss" in row]
    assert [row["step"] for row in looks] == [2, 4]
    assert result.held_out_loss == min(row["eval_loss"] for row in looks)
    assert result.kept_step == min(looks, key=lambda row: row["eval_loss"])["step"]


def test_fewer_steps_than_between_checkpoints_are_looked_at_all_the_same(run: Run) -> None:
    result = train_sft(run, SftConfig(early_stopping=1, **{**QUICK, "save_every": 100}))
    assert result.held_out_loss is not None
    assert result.kept_step == 4


def test_titles_past_the_limit_are_not_learned_half(run: Run) -> None:
    arms = run.arms().of_items(run.splits().train)
    policy = tiny_policy(SftConfig(max_title_tokens=5), logged_pairs(arms))
    item = arms.items[0]
    short, long = (item, "new shirt"), (item, "new shirt new shirt new shirt new shirt")
    assert short_enough(policy, [short, long]) == [short]
    assert policy.target_ids(*short)[-1] == policy.tokenizer.eos_token_id
    cut = policy.target_ids(*long)
    assert len(cut) == 5
    assert policy.tokenizer.eos_token_id not in cut
    with pytest.raises(PolicyError, match=r"sft: \{max_title_tokens: N\}"):
        short_enough(policy, [long])


def test_another_content_of_the_lexicon_is_another_training(run: Run, tmp_path: Path) -> None:
    variants = tmp_path / "variants.txt"
    variants.write_text("red=crimson\n", encoding="utf-8")
    config = SftConfig(variants=str(variants), **QUICK)
    train_sft(run, config)
    assert run.current("sft", config)
    variants.write_text("red=scarlet\n", encoding="utf-8")
    assert not run.current("sft", config)


def test_what_learns_is_counted(run: Run) -> None:
    full = train_sft(run, SftConfig(**QUICK))
    assert full.learned == full.parameters
    head = train_sft(run, SftConfig(learn="head", **QUICK))
    vocabulary = len(TitlePolicy.load(run / "sft").tokenizer)
    assert head.learned == 128 * (vocabulary + 1)
    assert head.parameters == full.parameters + 128 * vocabulary


def test_the_tiny_policy_writes_what_a_description_says(tmp_path: Path) -> None:
    fabrics = ("silk", "cotton", "linen", "wool")
    items = [
        Item(
            str(i), {"color": (("red", "blue")[i % 2],), "about": (f"Made with care by people who love {f}, for you",)}
        )
        for i, f in enumerate(fabrics * 30)
    ]
    pairs = [(item, f"{item.fields['color'][0]} {f} dress") for item, f in zip(items, fabrics * 30, strict=True)]
    policy = tiny_policy(SftConfig(), pairs[:80])
    settings = train_settings(policy.model, steps=60, batch_size=32, learning_rate=5e-3, save_every=99, seed=0)
    trained = fine_tune(policy, pairs[:80], settings, tmp_path)
    written = [title.text for (title,) in trained.generate(items[80:], 1, seed=0)]
    right = [text == title for text, (_, title) in zip(written, pairs[80:], strict=True)]
    assert sum(right) >= 0.9 * len(right)  # one in four by chance


def test_promises_that_nothing_bears_out_are_not_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each item has three titles, one of which promises; of every other item a field bears it out."""
    arms = make_arms(30)
    titles = [f"{title} free shipping" if title.startswith("long") else title for title in arms.title]
    items = tuple(
        replace(item, fields={**item.fields, "shipping": ("free",)}) if n % 2 == 0 else item
        for n, item in enumerate(arms.items)
    )
    run = make_run(tmp_path / "run", replace(arms, title=np.array(titles, dtype=object), items=items))
    train = run.arms().of_items(run.splits().train)
    true = sum(item.fields.get("shipping") is not None for item in train.items)
    result = train_sft(run, SftConfig(steps=1))
    assert result.titles == 2 * len(train.items) + true
    share = (len(train.items) - true) / len(train)
    assert f"{share:.1%} of the logged titles promise what no field of their item says" in capsys.readouterr().err
    facts = tmp_path / "facts.yaml"
    facts.write_text("facts: [ships free]")
    (run / DATA / "preset.json").write_text(json.dumps({"constraints": {"facts": str(facts)}}))
    assert train_sft(run, SftConfig(steps=1)).titles == 3 * len(train.items)  # the facts changed: trained anew
