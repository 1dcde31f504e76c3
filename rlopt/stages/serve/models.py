"""The models of a run as the service uses them: the numbers of ``score``, the titles of ``generate``."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reward.items import Item, flatten_fields
from reward.items import missing_marks as marks
from reward.model.reward_model import RewardModel
from rlopt.algorithms import ALGORITHMS, SFT
from rlopt.config import GenerateConfig
from rlopt.errors import StageOrderError
from rlopt.run import ENCODINGS, Run
from rlopt.serving.requests import GenerateRequest, ScoreRequest
from rlopt.stages.common.columns import missing_marks
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.policies import policy_folder
from rlopt.stages.common.scorer import Reach, Scorer
from rlopt.stages.generate.proposals import Means, Shop
from rlopt.stages.generate.stage import title_writer
from rlopt.stages.generate.writer import drafted, settled
from rlopt.wording import listed

NORMAL_95 = 1.959963984540054
STAGES = ("fit-reward", SFT, *ALGORITHMS)
_Described = tuple[str, Mapping[str, Any], str | None]  # id, fields, current title


class RunModels:
    """The models of a run, loaded whole, so that a newer run may take the place of their files.

    `score` and `generate` may be called at the same time: each has a reward model of its own, since these remember
    items.

    Parameters
    ----------
    run
        A run with a finished ``fit-reward``.
    config
        Settings of `generate`; those of a request go before them.

    Raises
    ------
    StageOrderError
        If the run has no reward model, or ``config`` names a policy that it cannot have.
    ModelError, PolicyError
        If the run's files are damaged.
    """

    def __init__(self, run: Run, config: GenerateConfig) -> None:
        self.version, self.policy, self._config = version_of(run), config.policy, config
        folder, self.cannot_generate = _policy(run, config)  # first, since the models take longer
        opened = OpenedRun(run)
        self._marks = marks(missing_marks(run))
        own = RewardModel.load(run / "reward", encodings=run / ENCODINGS)
        self._scorer = Scorer.of(opened, own)
        self._logged = self._scorer.familiar.items
        self._learned = opened.learned_fields
        self._known = {item.item_id: item for item in opened.arms.items}
        self._means: Means | None = None
        if folder is not None:
            rules = opened.constraints_of(config)
            self._means = Means(
                title_writer(folder, config), opened.reward, rules, config, opened.belonging, slope=opened.trust[0]
            )

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, Any]]:
        """Answers to all of them, predicted at once."""
        items: list[Item] = []
        titles: list[str] = []
        ends, left_out = [], []
        for request in requests:
            known, strangers = self._items([(one.item_id, one.fields, None) for one in request.items])
            for item, one in zip(known, request.items, strict=True):
                items += [item] * len(one.titles)
                titles += one.titles
            ends.append(len(titles))
            left_out.append(strangers)
        predicted = self._scorer.predict(items, titles)
        answers = []
        for request, strangers, start, end in zip(requests, left_out, [0, *ends], ends, strict=False):
            part = slice(start, end)
            own = {name: column[part] for name, column in predicted.items()}
            answers.append(self._scored(request, items[part], titles[part], own, strangers))
        return answers

    def generate(self, request: GenerateRequest) -> dict[str, Any]:
        """The answer: the rows of ``rlopt generate`` for a file with these items."""
        if self._means is None:
            raise StageOrderError(self.cannot_generate)
        means = replace(self._means, config=self._config.model_copy(update=request.settings()))
        items, strangers = self._items([(one.item_id, one.fields, one.current_title) for one in request.items])
        rows = settled(drafted(0, items, means), 0, items, means, Shop()).to_pylist()
        out = []
        for place, item in enumerate(items):
            of_item = rows[place * request.n : (place + 1) * request.n]
            written = [{name: value for name, value in row.items() if name != "item_id"} for row in of_item]
            out.append({"item_id": item.item_id, "titles": written})
        return {"version": self.version, "policy": self.policy, "warnings": self._said(items, strangers), "items": out}

    def _scored(
        self,
        request: ScoreRequest,
        items: Sequence[Item],
        titles: Sequence[str],
        predicted: dict[str, Any],
        strangers: Sequence[str],
    ) -> dict[str, Any]:
        values = self._scorer.compare(items, titles, predicted)
        reach = Reach.of(items, values["far"], self._scorer.familiar)
        reward, spread = values["reward"], NORMAL_95 * values["reward_std"]
        lift, around = values["lift"], NORMAL_95 * values["lift_std"]
        columns = {
            "title": titles,
            **{name: column.tolist() for name, column in values.items()},
            "reward_low": np.maximum(reward - spread, 0.0).tolist(),
            "reward_high": (reward + spread).tolist(),
            "lift_low": np.maximum(lift - around, -1.0).tolist(),
            "lift_high": (lift + around).tolist(),
        }
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        out, start = [], 0
        for one in request.items:
            end = start + len(one.titles)
            out.append({"item_id": one.item_id, "known": one.item_id in self._logged, "titles": rows[start:end]})
            start = end
        warnings = [*reach.warnings(), *self._said(items, strangers)]
        return {"version": self.version, "warnings": warnings, "items": out}

    def _items(self, given: Sequence[_Described]) -> tuple[list[Item], list[str]]:
        """Items with what the logs say of them, and the names of fields that the logs do not have.

        As in a file of items, blanks at ends and marks of missing values are none of a field's.
        """
        items: list[Item] = []
        strangers: dict[str, None] = {}
        for item_id, fields, current_title in given:
            logged = self._known.get(item_id)
            if logged is not None and not fields and current_title is None:
                items.append(logged)
                continue
            plain = {name: str(value).lower() if isinstance(value, bool) else value for name, value in fields.items()}
            said = flatten_fields(plain, self._marks)
            strangers |= dict.fromkeys(name for name in said if name not in self._learned)
            own = {name: values for name, values in said.items() if name in self._learned}
            if logged is not None:
                own, current_title = {**logged.fields, **own}, current_title or logged.current_title
            items.append(Item(item_id, own, current_title))
        return items, list(strangers)

    def _said(self, items: Iterable[Item], strangers: Sequence[str]) -> list[str]:
        """Warnings about the items themselves."""
        said = []
        mute = dict.fromkeys(item.item_id for item in items if item.item_id not in self._logged and not item.fields)
        if mute and self._learned:
            said.append(f"Not in the logs and without a field, so there is no context for {listed(list(mute))}.")
        if strangers:
            said.append(f"Left out, since the run's logs have no such fields: {listed(strangers)}.")
        return said


def _policy(run: Run, config: GenerateConfig) -> tuple[Path | None, str]:
    """Folder of the policy that writes titles, or None and why none can."""
    try:
        return policy_folder(run, config.policy), ""
    except StageOrderError as error:
        return None, str(error)


def version_of(run: Run) -> str:
    """Digest of the trained stages and their times; it changes with each training."""
    done = run.manifest["stages"]
    basis = [[stage, done[stage]["key"], done[stage]["finished"]] for stage in STAGES if stage in done]
    return hashlib.blake2b(json.dumps(basis).encode(), digest_size=8).hexdigest()
