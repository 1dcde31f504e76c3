"""Checks LightGBM's text of a model before LightGBM reads it.

LightGBM trusts the text: a child that points back to its parent makes a prediction that never ends, and a place
outside of an array is still read (https://lightgbm.readthedocs.io/en/stable/Development-Guide.html names the
format's source, ``src/io/tree.cpp``).
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeVar

Number = TypeVar("Number", int, float)

_PER_SPLIT = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_CATEGORICAL = 1  # bit of decision_type


def check_trees(text: str) -> int:
    """Check the text of one regression model.

    Returns
    -------
    Number of columns of the table that its trees read.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    head, *rest = text.split("\nTree=")
    values = _values(head)
    columns = _whole(values, "max_feature_idx") + 1
    if (
        not head.startswith("tree\n")
        or _whole(values, "num_class") != 1
        or _whole(values, "num_tree_per_iteration") != 1
    ):
        raise ValueError("no text of one LightGBM model")
    if (
        len(values.get("feature_names", "").split()) != columns
        or len(values.get("feature_infos", "").split()) != columns
    ):
        raise ValueError(f"names of other than {columns} columns")
    blocks = [f"Tree={block}" for block in rest]
    if blocks:
        last, end, _ = blocks[-1].partition("end of trees")
        if not end:
            raise ValueError("the trees have no end")
        blocks[-1] = last
    sizes = _numbers(values, "tree_sizes", int, None)
    # Between two trees stand two line ends, of which the split took one.
    lengths = [len(block.encode()) + 1 for block in blocks[:-1]] + [len(block.encode()) for block in blocks[-1:]]
    if sizes != lengths:
        raise ValueError("trees of other sizes than it says")
    for block in blocks:
        _check_tree(_values(block), columns)
    return columns


def _check_tree(values: Mapping[str, str], columns: int) -> None:
    leaves = _whole(values, "num_leaves")
    splits = leaves - 1
    if leaves < 1 or _whole(values, "is_linear") != 0:
        raise ValueError("a tree without leaves, or of linear models")
    _numbers(values, "leaf_value", float, leaves)
    if not splits:
        return
    feature, threshold, decision, left, right = (
        _numbers(values, name, float if name == "threshold" else int, splits) for name in _PER_SPLIT
    )
    categories = _whole(values, "num_cat")
    if categories:
        bounds = _numbers(values, "cat_boundaries", int, categories + 1)
        words = _numbers(values, "cat_threshold", int, None)
        if bounds[0] != 0 or bounds[-1] != len(words) or any(a >= b for a, b in pairwise(bounds)):
            raise ValueError("categories out of place")
    for node in range(splits):
        if not 0 <= feature[node] < columns:
            raise ValueError(f"a split by column {feature[node]} of {columns}")
        if int(decision[node]) & _CATEGORICAL and not (
            0 <= threshold[node] < categories and threshold[node] == int(threshold[node])
        ):
            raise ValueError("a split by categories out of place")
        for child in (int(left[node]), int(right[node])):
            # A split is made after its parent, so that every way down ends; ~child is a leaf.
            if not (node < child < splits or 0 <= ~child < leaves):
                raise ValueError(f"a child {child} of node {node}, of {splits}")


def _values(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _whole(values: Mapping[str, str], name: str) -> int:
    text = values.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{name} is {text[:40]!r}")
    return int(text)


def _numbers(
    values: Mapping[str, str], name: str, kind: Callable[[str], Number], count: int | None
) -> Sequence[Number]:
    words = values.get(name, "").split()
    if count is not None and len(words) != count:
        raise ValueError(f"{len(words)} values of {name}, not {count}")
    found = [kind(word) for word in words]
    # A split of missing values from all others has the threshold infinity.
    if any(value != value or (abs(value) == float("inf") and name != "threshold") for value in found):
        raise ValueError(f"{name} holds no finite numbers")
    return found
