"""Prompts with examples: like items, never the item itself, and a title that ends with its line."""

from pathlib import Path

import pytest

from reward.items import Item
from rlopt.errors import PolicyError
from rlopt.policy.fewshot import FewShotRenderer, end_with_the_line
from rlopt.policy.pretrained import load_causal_lm
from rlopt.policy.prompt import TextRenderer
from rlopt.policy.renderers import renderer_from_dict
from rlopt.policy.slots import Slots
from rlopt.policy.tiny import build_model, build_tokenizer
from rlopt.policy.title_policy import TitlePolicy
from tests.tiny_causal import save_tiny_causal

EXAMPLES = (
    (Item("1", {"kind": ("red dress",)}), "A red dress"),
    (Item("2", {"kind": ("desk lamp",)}), "A lamp for the desk"),
    (Item("3", {"kind": ("红色连衣裙",)}), "红色连衣裙 新款"),
    (Item("4", {"kind": ("blue dress",)}), "A blue\ndress"),
)


def renderer(shots: int = 2) -> FewShotRenderer:
    return FewShotRenderer(TextRenderer("Name it."), shots, EXAMPLES)


def test_the_prompt_holds_the_examples_then_the_item() -> None:
    assert renderer().prompt(Item("9", {"kind": ("blue dress",)})) == (
        "Name it.\nItem:\nkind: red dress\nTitle: A red dress\nItem:\nkind: blue dress\nTitle: A blue dress\n"
        "Item:\nkind: blue dress\nTitle:"
    )


@pytest.mark.parametrize(("kind", "nearest"), [("蓝色连衣裙", "3"), ("floor lamp", "2"), ("long red dress", "1")])
def test_examples_are_like_the_item(kind: str, nearest: str) -> None:
    assert renderer(1).nearest(Item("9", {"kind": (kind,)}))[0][0].item_id == nearest


def test_an_item_is_never_its_own_example() -> None:
    for item, _ in EXAMPLES:
        shown = [example.item_id for example, _ in renderer(9).nearest(item)]
        assert sorted([*shown, item.item_id]) == ["1", "2", "3", "4"]


def test_items_without_fields_have_examples_too() -> None:
    empty = FewShotRenderer(TextRenderer(), 1, ((Item("1"), "A"), (Item("2"), "B")))
    assert empty.nearest(Item("1")) == [(Item("2"), "B")]


def test_a_saved_renderer_comes_back_equal() -> None:
    assert renderer_from_dict(renderer().to_dict()) == renderer()


def test_examples_are_not_cut_where_one_item_would_be(tmp_path: Path) -> None:
    model, tokenizer = load_causal_lm(str(save_tiny_causal(tmp_path)))
    long = Item("9", {"text": ("x" * 350,)})
    shown = FewShotRenderer(TextRenderer("Name it."), 2, ((Item("1", long.fields), "A"), (Item("2", long.fields), "B")))
    (ids,) = TitlePolicy(model, tokenizer, shown).prompt_ids([long])
    assert tokenizer.decode(ids) == shown.prompt(long)


def test_the_line_ends_the_title_for_whoever_loads_the_folder(tmp_path: Path) -> None:
    model, tokenizer = load_causal_lm(str(save_tiny_causal(tmp_path / "base")))
    end_with_the_line(model, tokenizer)
    policy = TitlePolicy(model, tokenizer, renderer(), 30)
    folder = tmp_path / "sft"
    folder.mkdir()
    policy.save(folder)
    loaded = TitlePolicy.load(folder)
    item = Item("9", {"kind": ("blue dress",)})
    ids = loaded.target_ids(item, "A blue dress")
    assert loaded.tokenizer.decode(ids[:-1]) == " A blue dress"
    assert ids == loaded.tokenizer(" A blue dress\n")["input_ids"]
    assert loaded.model.generation_config.eos_token_id == ids[-1]
    titles = [title for (title,) in loaded.generate([item] * 400, 1, seed=0)]
    ended = [title for title in titles if title.finished]
    assert ended
    assert all(title.token_ids[-1] == ids[-1] and ids[-1] not in title.token_ids[:-1] for title in ended)


def test_a_tokenizer_without_line_breaks_is_one_clear_error() -> None:
    tokenizer = build_tokenizer(["a b"] * 3, Slots({}, {}))
    with pytest.raises(PolicyError, match="no token for a line break"):
        end_with_the_line(build_model(tokenizer, 0), tokenizer)
