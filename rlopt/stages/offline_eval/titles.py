"""Titles for the test items: written by the policies in chunks that survive an interruption, then judged together."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reward.arms import Arms
from reward.arrays import BoolArray, FloatArray, IntArray
from reward.features.lexicon import KINDS
from reward.items import Item
from reward.model.caution import cautious_reward
from reward.model.judge import Judge
from reward.model.reward_model import RewardModel
from reward.text import same_text_key
from rlopt.config import EvalConfig
from rlopt.files import JsonlWriter
from rlopt.ope.direct import TitleDraws
from rlopt.policy.constraints import Constraints, kinds
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import ProgressBar

CHUNK = 64  # items a file line; what an interruption may cost


@dataclass(frozen=True)
class Written:
    """Titles of one policy, arrays of shape (n,).

    Parameters
    ----------
    policy
        "ppo", "sft", "best_of" or "logged".
    item
        Position of each title's item among the test items.
    title
        The texts.
    log_prob
        In nats under the policy that wrote it; NaN where nothing sampled it.
    finished
        False where the length limit cut it off.
    tokens
        Sampled tokens, empty where nothing sampled it.
    """

    policy: str
    item: IntArray
    title: list[str]
    log_prob: FloatArray
    finished: BoolArray
    tokens: list[tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.title)

    def take(self, rows: IntArray | BoolArray, policy: str) -> "Written":
        """These titles only, under another name."""
        positions = np.arange(len(self))[rows]
        return Written(
            policy,
            self.item[positions],
            [self.title[i] for i in positions],
            self.log_prob[positions],
            self.finished[positions],
            [self.tokens[i] for i in positions],
        )


@dataclass(frozen=True)
class Judged:
    """Titles with everything that is predicted about them; arrays of shape (n,), draws (n_draws, n).

    Parameters
    ----------
    written
        The titles.
    draws
        The judge's posterior draws of their effect on log CTR, once it has learned from the test items' logged arms.
    effect, effect_std
        Mean and standard deviation of the draws.
    blind_effect
        Mean effect by the judge that has not seen the test items' clicks, for estimators that correct it by these.
    support
        How near they are to titles the judge knows, in [0, 1].
    reward, reward_std
        Prediction of the reward model and its ensemble spread.
    reward_effect_std
        How unsure the reward model is of a title's effect alone, in nats of the odds of a click: `reward_std` without
        what is unsure about the item.
    unsupported
        What of a title its item does not support; None where no claims are checked.
    checked
        Kinds of claims that were looked for.
    violations
        Rules each title breaks.
    p_conversion
        P(conversion | click) by the reward model; None where the logs hold no conversions.
    """

    written: Written
    draws: FloatArray
    effect: FloatArray
    effect_std: FloatArray
    blind_effect: FloatArray
    support: FloatArray
    reward: FloatArray
    reward_std: FloatArray
    reward_effect_std: FloatArray
    unsupported: tuple[tuple[str, ...], ...] | None
    checked: tuple[str, ...] = ()
    violations: tuple[tuple[str, ...], ...] = ()
    p_conversion: FloatArray | None = None

    @property
    def faithfulness(self) -> float | None:
        """Share of titles that say something, and nothing their item does not support."""
        if self.unsupported is None:
            return None
        pairs = zip(self.written.title, self.unsupported, strict=True)
        return float(np.mean([bool(title) and not words for title, words in pairs]))

    @property
    def promise_share(self) -> float:
        """Share of titles that promise what nothing of their item bears out."""
        return float(np.mean(["promise" in kinds for kinds in self.violations]))

    def title_draws(self, share: FloatArray | None = None, rows: IntArray | None = None) -> TitleDraws:
        """For the lift; ``share`` as in `TitleDraws`, ``rows`` for some of the titles only."""
        if rows is None:
            return TitleDraws(self.draws, self.written.item, share)
        return TitleDraws(self.draws[:, rows], self.written.item[rows], share)


@dataclass(frozen=True)
class Case:
    """What one evaluation is about.

    Parameters
    ----------
    test
        Logged arms of the test items.
    judged
        Policy -> its titles, judged; "logged" among them.
    new
        The policy that is evaluated.
    config
        Settings of the stage.
    """

    test: Arms
    judged: Mapping[str, Judged]
    new: str
    config: EvalConfig

    @property
    def mine(self) -> Judged:
        """The titles that are evaluated."""
        return self.judged[self.new]

    @property
    def logged(self) -> Judged:
        """The logged titles, in the order of ``test``."""
        return self.judged["logged"]

    @property
    def sft(self) -> Judged | None:
        """The SFT policy's titles; None without one to compare with."""
        return None if self.new == "sft" else self.judged.get("sft")


def logged_titles(arms: Arms) -> Written:
    """The titles of the logs as `Written`, in the order of ``arms``."""
    n = len(arms)
    return Written(
        "logged",
        arms.item_index,
        [str(title) for title in arms.title],
        np.full(n, np.nan),
        np.ones(n, dtype=bool),
        [()] * n,
    )


def write_titles(
    name: str,
    policy: TitlePolicy,
    items: Sequence[Item],
    n: int,
    *,
    temperature: float,
    seed: int,
    cache: Path,
    bar: ProgressBar,
) -> Written:
    """``n`` titles an item by one policy.

    Every chunk of items has a seed of its own and is kept in ``cache`` once written, so that an interrupted
    evaluation goes on where it was and ends with the same titles.
    """
    log = JsonlWriter(cache)
    done = {row["chunk"]: row["titles"] for row in log.rows()}
    rows: list[tuple[int, str, float, bool, tuple[int, ...]]] = []
    for chunk, start in enumerate(range(0, len(items), CHUNK)):
        part = items[start : start + CHUNK]
        if chunk not in done:
            generated = policy.generate(part, n, temperature=temperature, seed=_seed(seed, name, chunk))
            done[chunk] = [
                [[t.text, t.log_prob, t.finished, list(t.token_ids)] for t in titles] for titles in generated
            ]
            log.write({"chunk": chunk, "titles": done[chunk]})
        bar.update(len(part) * n)
        rows += [_row(start + i, title) for i, titles in enumerate(done[chunk]) for title in titles]
    return Written(
        name,
        np.array([row[0] for row in rows], dtype=np.int64),
        [row[1] for row in rows],
        np.array([row[2] for row in rows], dtype=np.float64),
        np.array([row[3] for row in rows], dtype=bool),
        [row[4] for row in rows],
    )


def best_by_reward(candidates: Written, items: Sequence[Item], model: RewardModel, risk_aversion: float) -> Written:
    """Each item's candidate with the best reward, lowered by ``risk_aversion`` spreads of its effect as PPO's is."""
    predicted = model.predict([items[i] for i in candidates.item], candidates.title)
    value = cautious_reward(predicted, risk_aversion)
    order = np.lexsort((-value, candidates.item))
    first = np.r_[True, np.diff(candidates.item[order]) > 0]
    return candidates.take(order[first], "best_of")


def judge_titles(
    groups: Sequence[Written],
    test: Arms,
    judge: Judge,
    model: RewardModel,
    constraints: Constraints,
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, Judged]:
    """Predictions for the titles of all policies, from the same posterior draws.

    ``judge`` has not seen the items of ``test``; what it says here, it says after it has learned from their arms.
    """
    owners = [test.items[i] for group in groups for i in group.item]
    titles = [title for group in groups for title in group.title]
    learned = judge.updated(test)
    draws = learned.draws(owners, titles, n_draws, rng)
    effect, effect_std = learned.effect(owners, titles)
    blind_effect = judge.mean_effect(owners, titles)
    support = judge.support(owners, titles)
    predicted = model.predict(owners, titles)
    out: dict[str, Judged] = {}
    start = 0
    for group in groups:
        part = slice(start, start + len(group))
        start += len(group)
        pairs = list(zip(owners[part], titles[part], strict=True))
        lexicon = constraints.lexicon
        unsupported = None if lexicon is None else tuple(lexicon.unstated_words(*pair) for pair in pairs)
        out[group.policy] = Judged(
            group,
            draws[:, part],
            effect[part],
            effect_std[part],
            blind_effect[part],
            support[part],
            predicted.reward[part],
            predicted.reward_std[part],
            predicted.effect_std[part],
            unsupported,
            () if lexicon is None else tuple(kind for kind in KINDS if kind in lexicon.kinds),
            tuple(
                (*kinds(constraints.check(*pair)), *([] if ended else ["unfinished"]))
                for pair, ended in zip(pairs, group.finished, strict=True)
            ),
            None if predicted.p_conversion is None else predicted.p_conversion[part],
        )
    return out


def novel(written: Written, logged: Written) -> BoolArray:
    """True for titles the logs never showed for their item, shape (n,)."""
    known = {(int(item), same_text_key(title)) for item, title in zip(logged.item, logged.title, strict=True)}
    pairs = zip(written.item, written.title, strict=True)
    return np.array([(int(item), same_text_key(title)) not in known for item, title in pairs], dtype=bool)


def _row(item: int, title: Sequence[Any]) -> tuple[int, str, float, bool, tuple[int, ...]]:
    text, log_prob, finished, tokens = title
    return item, text, log_prob, finished, tuple(tokens)


def _seed(seed: int, name: str, chunk: int) -> int:
    """One seed for each policy and chunk."""
    stream = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest())
    return int(np.random.SeedSequence([seed, stream, chunk]).generate_state(1)[0])
