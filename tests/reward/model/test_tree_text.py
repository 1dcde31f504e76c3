"""LightGBM's text is checked before LightGBM reads it, which trusts every place that it names."""

import lightgbm as lgb
import numpy as np
import pytest

from reward.model.tree_text import check_trees


@pytest.fixture(scope="module")
def text() -> str:
    """Two trees, with a split by categories."""
    rng = np.random.default_rng(0)
    table = np.column_stack([rng.integers(0, 9, 400), rng.random(400), rng.random(400)])
    target = (table[:, 0] % 2) + table[:, 1]
    data = lgb.Dataset(table, target, categorical_feature=[0])
    settings = {"num_leaves": 6, "verbosity": -1, "min_data_per_group": 1, "cat_smooth": 1, "num_threads": 1}
    return lgb.train({**settings, "objective": "regression"}, data, 2).model_to_string()


def replaced(text: str, name: str, place: int, value: str, tree: int = 0) -> str:
    """The text with one number of one tree replaced, its size corrected."""
    head, *trees = text.split("\nTree=")
    lines = trees[tree].split("\n")
    row = next(i for i, line in enumerate(lines) if line.startswith(f"{name}="))
    values = lines[row].split("=")[1].split(" ")
    values[place] = value
    longer = len(f"{name}={' '.join(values)}") - len(lines[row])
    lines[row] = f"{name}={' '.join(values)}"
    trees[tree] = "\n".join(lines)
    row = next(line for line in head.split("\n") if line.startswith("tree_sizes="))
    sizes = list(map(int, row.split("=")[1].split()))
    sizes[tree] += longer
    head = head.replace(row, f"tree_sizes={' '.join(map(str, sizes))}")
    return "\nTree=".join([head, *trees])


def test_a_good_text_passes_and_is_read_the_same(text: str) -> None:
    assert check_trees(text) == 3
    assert "num_cat=1" in text
    for same in (replaced(text, "leaf_value", 0, "0.25"), replaced(text, "threshold", 1, "inf")):
        assert check_trees(same) == 3
        lgb.Booster(model_str=same)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("left_child", 1, "0", "a child 0 of node 1"),  # a prediction that never ends
        ("right_child", 0, "0", "a child 0 of node 0"),
        ("left_child", 0, "99", "a child 99"),
        ("right_child", 0, "-99", "a child -99"),
        ("split_feature", 0, "3", "column 3 of 3"),
        ("split_feature", 0, "-1", "column -1"),
        ("threshold", 0, "nan", "no finite numbers"),
        ("leaf_value", 0, "nan", "no finite numbers"),
        ("leaf_value", 0, "0 0", "7 values of leaf_value"),
        ("num_leaves", 0, "1000000000", "num_leaves is"),
        ("num_leaves", 0, "7", "values of leaf_value, not 7"),
        ("num_leaves", 0, "0", "without leaves"),
        ("cat_boundaries", 1, "900", "categories out of place"),
        ("is_linear", 0, "1", "linear models"),
    ],
)
def test_a_bad_tree_is_refused(text: str, name: str, place: int, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_trees(replaced(text, name, place, value))


@pytest.mark.parametrize(
    ("before", "after"),
    [("num_class=1", "num_class=2"), ("tree_sizes=", "tree_sizes=9"), ("max_feature_idx=2", "max_feature_idx=9"),
     ("end of trees", "end"), ("tree\n", "forest\n"), ("feature_infos=", "feature_infos=none ")],
)  # fmt: skip
def test_a_bad_head_is_refused(text: str, before: str, after: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_trees(text.replace(before, after, 1))


@pytest.mark.parametrize("text", ["", "tree", "hello\nTree=0\n", "\0", "tree\n" * 1000])
def test_no_text_of_trees_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_trees(text)
