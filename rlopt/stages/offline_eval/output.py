"""Output of the evaluation: figures by policy, examples, and the files of ``eval/``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reward.arms import Arms
from rlopt.config import EvalConfig
from rlopt.files import to_json
from rlopt.ope.diagnostics import nearest_logged
from rlopt.ope.direct import LiftEstimate, item_ratios
from rlopt.report.content import EvaluationReport, Example, PolicyFigures
from rlopt.report.html import render
from rlopt.stages.common.evaluated import Evaluated
from rlopt.stages.offline_eval.case import Case, novel

EXAMPLES_OF_A_KIND = 6
EXAMPLES_DRAWN = 50


def policy_figures(evaluated: Evaluated, logged: Evaluated, lift: LiftEstimate, config: EvalConfig) -> PolicyFigures:
    """Figures of one policy's titles."""
    written = evaluated.written
    pairs = set(zip(written.item.tolist(), written.title, strict=True))
    return PolicyFigures(
        policy=written.policy,
        n_titles=len(written),
        n_items=len(np.unique(written.item)),
        lift_over_logged=lift,
        reward=float(evaluated.reward.mean()),
        reward_std=float(evaluated.reward_std.mean()),
        faithfulness=evaluated.faithfulness,
        support_share=float(np.mean(evaluated.support >= config.support_level)),
        novel_share=float(novel(written, logged.written).mean()),
        distinct_share=len(pairs) / len(written),
        finished_share=float(written.finished.mean()) if written.policy != "best_of" and any(written.tokens) else None,
    )


def examples(case: Case) -> tuple[Example, ...]:
    """The items where the policy's first title has the largest expected gains, the largest losses, and any drawn."""
    test, mine, items = case.test, case.mine, case.test.items
    n_items = len(items)
    first = _first_rows(mine, n_items)
    by_sft = None if case.sft is None else [case.sft.written.title[row] for row in _first_rows(case.sft, n_items)]
    logged = case.logged.title_draws(share=test.exposure)
    lifts = item_ratios(mine.title_draws(rows=first), logged, n_items) - 1
    mean, spread = lifts.mean(axis=0), lifts.std(axis=0)
    order = np.argsort(mean, kind="stable")
    gains = [("gain", int(i)) for i in order[::-1][:EXAMPLES_OF_A_KIND] if mean[i] > 0]
    losses = [("loss", int(i)) for i in order[:EXAMPLES_OF_A_KIND] if mean[i] < 0]

    random = np.random.default_rng(case.config.seed)
    some = np.sort(random.choice(n_items, min(EXAMPLES_DRAWN, n_items), replace=False))
    drawn = [("drawn", int(i)) for i in some]

    def example(kind: str, i: int) -> Example:
        arms = np.flatnonzero(test.item_index == i)
        titles = [str(test.title[a]) for a in arms[np.argsort(-test.impressions[arms], kind="stable")]]
        row = first[i]
        title = mine.written.title[row]
        nearest, similarity = nearest_logged(title, titles)
        unsupported = mine.unstated
        return Example(
            kind=kind,
            item_id=items[i].item_id,
            context=" · ".join(f"{name}: {', '.join(values)}" for name, values in items[i].fields.items()),
            logged=titles[0],
            sft=None if by_sft is None else by_sft[i],
            title=title,
            nearest=nearest,
            similarity=similarity,
            lift=float(mean[i]),
            lift_std=float(spread[i]),
            reward=float(mine.reward[row]),
            reward_std=float(mine.reward_std[row]),
            unsupported=unsupported[row] if unsupported else (),
            violations=tuple(kind for kind in mine.violations[row] if kind != "unsupported"),
        )

    return tuple(example(kind, i) for kind, i in gains + losses + drawn)


def _first_rows(evaluated: Evaluated, n_items: int) -> npt.NDArray[np.intp]:
    """Row of each item's first title."""
    return np.searchsorted(evaluated.written.item, np.arange(n_items))


def write_outputs(
    folder: Path,
    report: EvaluationReport,
    evaluated: Mapping[str, Evaluated],
    test: Arms,
    metrics: Sequence[Mapping[str, Any]],
) -> None:
    """titles.parquet, report.json and report.html in ``folder``."""
    pq.write_table(titles_table(evaluated, test), folder / "titles.parquet", compression="zstd")
    (folder / "report.json").write_text(to_json(report.to_dict(), indent=1) + "\n", encoding="utf-8")
    (folder / "report.html").write_text(render(report, metrics), encoding="utf-8")


def titles_table(evaluated: Mapping[str, Evaluated], test: Arms) -> pa.Table:
    """Every evaluated title, the logged ones included, one row each."""
    ids = [item.item_id for item in test.items]
    columns: dict[str, list[Any]] = {
        "item_id": [],
        "policy": [],
        "title": [],
        "log_prob": [],
        "reward": [],
        "reward_std": [],
        "judge_effect": [],
        "judge_effect_std": [],
        "support": [],
        "unsupported": [],
    }
    for name, group in evaluated.items():
        written = group.written
        columns["item_id"] += [ids[i] for i in written.item]
        columns["policy"] += [name] * len(written)
        columns["title"] += written.title
        columns["log_prob"] += [None if np.isnan(p) else float(p) for p in written.log_prob]
        columns["reward"] += group.reward.tolist()
        columns["reward_std"] += group.reward_std.tolist()
        columns["judge_effect"] += group.effect.tolist()
        columns["judge_effect_std"] += group.effect_std.tolist()
        columns["support"] += group.support.tolist()
        columns["unsupported"] += (
            [None] * len(written) if group.unstated is None else [" ".join(words) for words in group.unstated]
        )
    text = {"item_id", "policy", "title", "unsupported"}
    return pa.table(
        {name: pa.array(values, pa.string() if name in text else pa.float64()) for name, values in columns.items()}
    )
