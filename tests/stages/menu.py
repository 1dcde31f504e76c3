"""A shop small enough to know everything: policies that choose from a menu with known probabilities, a judge that is
right up to known noise. Every figure of an evaluation then has a closed form."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from reward.arms import Arms
from reward.arrays import FloatArray
from reward.items import Item
from reward.logs.splits import Splits
from reward.logs.store import save_arms
from reward.model.judge import Contrast
from rlopt.files import to_json
from rlopt.policy.prompt import SlotRenderer
from rlopt.policy.slots import Slots
from rlopt.policy.title_policy import GeneratedTitle
from rlopt.run import DATA, Run
from tests.stages.log_reports import log_report

STYLES = ("plain", "long", "new", "magic")  # "magic" is never logged
EFFECT = {"plain": 0.0, "long": 0.1, "new": 0.3, "magic": 0.5}
LOGGED = ("plain", "long", "new")
PROPENSITY = (0.5, 0.3, 0.2)
APPEAL = 0.05


def title_of(item: Item, style: str) -> str:
    """One of the item's four titles."""
    if style == "magic":  # only known words, in an order the logs never had
        return f"shirt {item.item_id} {item.fields['colour'][0]} new"
    return f"{style} {item.fields['colour'][0]} shirt {item.item_id}"


def style_of(title: str) -> str:
    first = title.split()[0]
    return "magic" if first == "shirt" else first


def truth(items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
    """True clicks per impression."""
    return np.array([APPEAL * np.exp(EFFECT[style_of(t)]) for t in titles])


def make_arms(n_items: int, seed: int = 0, impressions: int = 2000) -> Arms:
    """Logs of ``n_items`` items with three titles each, shown with `PROPENSITY`."""
    rng = np.random.default_rng(seed)
    colours = ("red", "blue", "红色")
    items = tuple(
        Item(f"i{n:04d}", {"colour": (colours[n % 3],), "kind": ("shirt", f"i{n:04d}")}) for n in range(n_items)
    )
    index = np.repeat(np.arange(n_items), len(LOGGED))
    titles = [title_of(items[i], LOGGED[k % 3]) for k, i in enumerate(index)]
    shown = rng.multinomial(impressions, PROPENSITY, n_items).ravel().astype(float)
    clicks = rng.binomial(shown.astype(int), truth([items[i] for i in index], titles)).astype(float)
    return Arms(
        items=items,
        item_index=index.astype(np.int64),
        title=np.array(titles, dtype=object),
        impressions=shown,
        clicks=clicks,
        exposure=shown.copy(),
        propensity=np.tile(PROPENSITY, n_items),
        propensity_logged=True,
    )


@dataclass
class MenuPolicy:
    """Chooses a style with known probabilities; stands in for TitlePolicy."""

    probability: dict[str, float]
    calls: list[int] = field(default_factory=list)
    model: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(num_parameters=lambda: 1000))
    tokenizer: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(get_vocab=lambda: {"a": 0}))
    renderer: SlotRenderer = field(default_factory=lambda: SlotRenderer(Slots({}, {})))

    def generate(
        self, items: Sequence[Item], n: int = 1, *, temperature: float = 1.0, seed: int = 0
    ) -> list[list[GeneratedTitle]]:
        self.calls.append(len(items))
        rng = np.random.default_rng(seed)
        p = np.array([self.probability[s] for s in STYLES])
        return [[self._title(item, int(k)) for k in rng.choice(len(STYLES), n, p=p)] for item in items]

    def _title(self, item: Item, k: int) -> GeneratedTitle:
        return GeneratedTitle(title_of(item, STYLES[k]), float(np.log(self.probability[STYLES[k]])), True, (k,))

    def log_prob(self, items: Sequence[Item], titles: Sequence[str], *, temperature: float = 1.0) -> FloatArray:
        return np.log([max(self.probability[style_of(t)], 1e-300) for t in titles])

    def log_prob_of_tokens(
        self, items: Sequence[Item], completions: Sequence[Sequence[int]], *, temperature: float = 1.0
    ) -> FloatArray:
        return np.log([max(self.probability[STYLES[c[0]]], 1e-300) for c in completions])

    def kl_to(
        self,
        reference: "MenuPolicy",
        items: Sequence[Item],
        completions: Sequence[Sequence[int]],
        *,
        temperature: float = 1.0,
    ) -> FloatArray:
        p, q = (np.array([policy.probability[s] for s in STYLES]) for policy in (self, reference))
        kept = p > 0
        return np.full(len(items), float((p[kept] * np.log(p[kept] / q[kept])).sum()))


@dataclass
class MenuJudge:
    """Right on average: effect times a slope drawn around one. ``sign=-1`` believes the opposite of the truth."""

    sign: float = 1.0
    supported: float = 0.9
    observational: bool = False

    def draws(self, items: Sequence[Item], titles: Sequence[str], n_draws: int, rng: np.random.Generator) -> FloatArray:
        effect = np.array([EFFECT[style_of(t)] for t in titles])
        return self.sign * effect * (1 + 0.1 * rng.standard_normal((n_draws, 1))) + 0.02 * rng.standard_normal(
            (n_draws, len(titles))
        )

    def effect(self, items: Sequence[Item], titles: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        effect = np.array([EFFECT[style_of(t)] for t in titles])
        return self.sign * effect, 0.1 * np.abs(effect)

    def mean_effect(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        return self.effect(items, titles)[0]

    def updated(self, arms: Arms) -> "MenuJudge":
        return self

    def unshrunk(self, contrasts: Sequence[Contrast]) -> "MenuJudge":
        return self

    def support(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        return np.full(len(titles), self.supported)

    def vectors(self, items: Sequence[Item], titles: Sequence[str]) -> FloatArray:
        return np.array([[EFFECT[style_of(t)]] for t in titles])


@dataclass
class MenuReward:
    """Predicts the truth, with a tenth of it as spread."""

    observational = False

    def predict(self, items: Sequence[Item], titles: Sequence[str]) -> SimpleNamespace:
        value = truth(items, titles)
        return SimpleNamespace(
            reward=value,
            support=np.array([0.2 if style_of(t) == "magic" else 1.0 for t in titles]),
            reward_std=0.1 * value,
            effect=np.log(value / APPEAL),
            effect_std=np.full(len(value), 0.1),
            p_click=value,
            p_conversion=None,
        )


def make_run(
    folder: Path, arms: Arms, splits: Callable[[Arms], Splits] | None = None, ppo_config: dict[str, float] | None = None
) -> Run:
    """A run whose stages are done, with a third of the items on each side."""
    run = Run.open(folder, create=True)
    ids = [item.item_id for item in arms.items]
    sides = splits(arms) if splits else Splits(tuple(ids[0::3]), tuple(ids[1::3]), tuple(ids[2::3]))
    with run.stage("fit-reward", {"seed": 0}, {"logs": hashlib.sha256(b"logs").hexdigest()[:8]}):
        save_arms(arms, run / DATA)
        (run / DATA / "splits.json").write_text(sides.to_json(), encoding="utf-8")
        (run / DATA / "findings.json").write_text(
            to_json(replace(log_report(), assignment="logged" if arms.propensity_logged else "unknown")),
            encoding="utf-8",
        )
    with run.stage("sft", {"seed": 0}):
        pass
    with run.stage("ppo", ppo_config or {"seed": 0, "risk_aversion": 1.0}):
        pass
    writer = run.metrics("ppo")
    for step in range(1, 11):
        writer.write({"step": step, "objective/kl": 0.1 * step, "objective/predicted_lift": 0.01 * step})
    return run
