"""Model cards: front matter a machine can read, tables that hold whatever values they are given."""

from huggingface_hub import ModelCard

from rlopt.report.cards import policy_card, reward_card


def front_matter(card: str) -> dict[str, object]:
    return ModelCard(card).data.to_dict()


def test_policy_card() -> None:
    card = policy_card(
        "ppo",
        base_model="org/base: model",
        parameters=1_234_567,
        n_items=3700,
        figures={"KL, nats per title": 2.41234, "lift": None},
        settings={"steps": 2000, "reward": "a|b\n<script>`x`"},
        versions={"rlopt": "0.1.0", "trl": "1.16.0"},
        slots=True,
        languages=["zh"],
    )
    front = front_matter(card)
    assert front["pipeline_tag"] == "text-generation"
    assert front["base_model"] == "org/base: model"
    assert front["language"] == ["zh"]
    assert "| KL, nats per title | 2.412 |" in card
    assert "| lift | – |" in card
    assert "<script>" not in card
    assert "| reward | a\\|b &lt;script>'x' |" in card
    assert "1,234,567 parameters" in card
    assert "Slot tokens" in card


def test_a_prefix_is_loaded_beside_its_plain_model() -> None:
    card = policy_card(
        "sft", base_model="x", parameters=1, n_items=1, figures={}, settings={}, versions={}, slots=False, prefix=True
    )
    assert 'from_pretrained("path/to/this/folder/base")' in card
    assert "PeftModel.from_pretrained(base" in card


def test_tiny_policy_has_no_base_model() -> None:
    card = policy_card(
        "sft", base_model=None, parameters=10, n_items=1, figures={}, settings={}, versions={}, slots=False
    )
    assert "base_model" not in front_matter(card)
    assert "PPO against" not in card
    assert "## Settings" not in card


def test_reward_card() -> None:
    card = reward_card(
        n_items=100,
        n_arms=400,
        n_impressions=1e6,
        figures={"pair accuracy": 0.612},
        settings={},
        versions={"lightgbm": "4.6"},
    )
    assert "400 titles of 100 items, 1,000,000 impressions" in card
    assert "| pair accuracy | 0.612 |" in card
    assert front_matter(card)["library_name"] == "lightgbm"


def test_reward_card_tells_splits_effects_warnings_and_shows_figures() -> None:
    card = reward_card(
        n_items=3,
        n_arms=9,
        n_impressions=100,
        figures={},
        settings={},
        versions={},
        split={"train": 3, "judge": 1, "test": 1},
        conversions=True,
        warnings=["Propensities | were <b>estimated</b>"],
        effects={"names the 颜色": "+6% [+3, +9]"},
        note="These are associations.",
        images={"Effects": "effects.svg"},
    )
    assert "train 3, judge 1, test 1" in card
    assert "conversion given a click" in card
    assert "| names the 颜色 | +6% [+3, +9] |" in card
    assert "These are associations." in card
    assert "![Effects](effects.svg)" in card
    assert "<b>" not in card
