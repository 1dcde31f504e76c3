"""The reward's model card says of every figure what it is."""

from dataclasses import replace

from reward.logs.splits import split_items
from reward.model.reward_model import RewardModel
from rlopt.files import to_json
from rlopt.stages.common.evidence import FitEvidence, evidence_lines, measure
from rlopt.stages.fit_reward.card import _figures
from tests.reward.shop import make_shop


def test_every_figure_is_explained() -> None:
    shop = make_shop("en", n_items=150, impressions=3000)
    splits = split_items(shop.arms, seed=0)
    model = RewardModel.fit(shop.arms.of_items({*splits.train}), seed=0, n_members=2, threads=1)
    found = measure(model, shop.arms, splits, seed=0)
    rows = _figures(found)
    assert found is not None
    assert FitEvidence.from_json(to_json(found), "evidence.json") == found
    assert {name.replace("_", " ") for name, value in vars(found).items() if not isinstance(value, tuple)} - {
        label.split(":")[0] for label in rows
    } == {"topics"}  # a table of its own
    assert all(": " in label for label in rows)
    assert rows[next(label for label in rows if label.startswith("pair accuracy:"))] == (
        "{value:.3f} [{low:.3f}, {high:.3f}]".format(**vars(found.pair_accuracy))
    )
    assert found.noise_ceiling is None  # 60 items are too few to tell
    assert "too few to estimate what a perfect model would reach" in "\n".join(evidence_lines(found))
    found = replace(found, noise_ceiling=0.91)
    lines = "\n".join(evidence_lines(found))
    assert "a perfect model would reach about 91%" in lines
