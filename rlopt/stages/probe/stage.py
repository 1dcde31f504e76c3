"""``rlopt probe``: what fools this run? Titles that should earn less, and titles that say the same."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reward.arms import Arms
from reward.belonging.belonging import FLUENCY, RELEVANCE
from reward.items import Item
from reward.text import same_text_key
from rlopt.algorithms import DEFAULT, SFT
from rlopt.config import PpoConfig, ProbeConfig
from rlopt.errors import EvaluationError
from rlopt.files import atomic_write, fingerprint, to_json
from rlopt.progress import note, track
from rlopt.report.attacks import AttackKind, SwapFigures
from rlopt.report.cards import with_probe
from rlopt.run import Run
from rlopt.stages.common.held_out import check_splits, shown_arms
from rlopt.stages.common.opened import OpenedRun
from rlopt.stages.common.policies import load_policy
from rlopt.stages.common.probed import PROBE, ProbeResult
from rlopt.stages.common.rules import promises_of
from rlopt.stages.probe.changes import changes, shipped_synonyms
from rlopt.stages.probe.faults import Attack, Others, faults
from rlopt.stages.probe.measure import Attacked, Examiner, Thought, scores
from rlopt.stages.probe.own import read_attacks
from rlopt.stages.probe.swaps import shipped_swaps, swapped_item, swaps
from rlopt.stages.probe.written import written_for_swapped
from rlopt.training.augment import Variants
from rlopt.wording import counted

CONTROL, BEST_FOREIGN = "as logged", "best foreign"
BATCH = 64  # titles written at once


def probe(run: Run, config: ProbeConfig | None = None) -> ProbeResult:
    """Attack logged titles of test items, and score the results by all that the run has; writes ``probe/``.

    ``probe/probe.json`` holds the result, ``probe/titles.parquet`` each attacked title with its scores; the reward
    model's card and later reports get a section.

    Parameters
    ----------
    run
        A run with reward, judge and test items.
    config
        Settings of the stage.

    Raises
    ------
    StageOrderError
        If the run has no reward model.
    EvaluationError
        If it has no judge or test items, or these have no clicks.
    ConfigError, PolicyError
        If the file of attacks, or of synonyms, cannot be read.
    """
    config = config or ProbeConfig()
    opened = OpenedRun(run)
    check_splits(opened.splits)
    policy = next((name for name in (DEFAULT.name, SFT) if run.done(name)), None)
    with run.stage(PROBE, config, {} if policy is None else {"policy": fingerprint(run / policy)}) as record:
        test = shown_arms(opened.arms, opened.splits.test, config.max_items, np.random.default_rng([config.seed, 0]))
        titles = _titles_of(test)
        attacks = _attacks(opened, config, Others(test.items, titles))
        asked = Examiner(
            test, opened.reward, opened.judge, opened.constraints, opened.belonging, _risk_aversion(opened)
        )
        if opened.belonging is None:
            note(
                "This run cannot check whether titles belong to their items: its train items do not suffice to learn it"
            )
        thoughts = []
        with track(PROBE, len(attacks) + 2) as bar:
            for attacked in _made(attacks, test, titles, asked, config):
                thoughts.append(asked.ask(attacked))
                bar.update(1, attack=attacked.attack)
        figures = tuple(thought.figures() for thought in thoughts)
        written = _written(opened, policy, asked, config)
        result = ProbeResult(
            str(run / PROBE),
            len(test.items),
            opened.belonging is not None,
            figures,
            policy if written else None,
            written,
        )
        with run.replacing(PROBE) as folder:
            (folder / f"{PROBE}.json").write_text(to_json(result.to_dict(), indent=2), encoding="utf-8")
            pq.write_table(_table(thoughts), folder / "titles.parquet", compression="zstd")
        _tell_the_card(run, result)
        record.notes.update(open=result.open)
    return result


def _attacks(opened: OpenedRun, config: ProbeConfig, others: Others) -> dict[str, tuple[AttackKind, Attack]]:
    """Name -> kind and attack."""
    synonyms = shipped_synonyms() if config.synonyms is None else Variants.read(config.synonyms)
    made: dict[str, tuple[AttackKind, Attack]] = {
        name: ("fault", attack) for name, attack in faults(others, promises_of(opened.rules)).items()
    }
    made |= {name: ("change", attack) for name, attack in (changes(synonyms) | swaps(shipped_swaps())).items()}
    if config.attacks is not None:
        own = read_attacks(config.attacks, others, {*made, CONTROL, BEST_FOREIGN})
        made |= {name: ("own", attack) for name, attack in own.items()}
    return made


def _made(
    attacks: Mapping[str, tuple[AttackKind, Attack]],
    test: Arms,
    titles: Mapping[str, Sequence[str]],
    asked: Examiner,
    config: ProbeConfig,
) -> Iterable[Attacked]:
    """The attacked titles, attack by attack; notes those that fit no item and are left out."""
    rng, lists = np.random.default_rng([config.seed, 1]), shipped_swaps()
    bases = [titles[item.item_id][int(rng.integers(len(titles[item.item_id])))] for item in test.items]
    yield Attacked(CONTROL, "control", test.items, bases, bases)
    for number, (name, (kind, attack)) in enumerate(attacks.items()):
        own = np.random.default_rng([config.seed, 2, number])  # each attack its own: a further one changes no other
        made = [attack(item, base, own) for item, base in zip(test.items, bases, strict=True)]
        kept = [i for i, title in enumerate(made) if _is_news(title, bases[i], kind)]
        if kept:
            items, texts = [test.items[i] for i in kept], [str(made[i]) for i in kept]
            changed = [swapped_item(lists[name], item) for item in items] if name in lists else None
            yield Attacked(name, kind, items, [bases[i] for i in kept], texts, changed)
        else:
            note(f"No title fits the attack {name!r}: skipped")
        if name == "foreign" and kept:
            yield _best_foreign(attack, test, bases, asked, config)


def _best_foreign(attack: Attack, test: Arms, bases: Sequence[str], asked: Examiner, config: ProbeConfig) -> Attacked:
    """Pick the title of other items with the highest reward among several: the choice of an attacker."""
    rng = np.random.default_rng([config.seed, 3])
    drawn = [
        (i, title)
        for i, (item, base) in enumerate(zip(test.items, bases, strict=True))
        for title in dict.fromkeys(attack(item, base, rng) for _ in range(config.best_of))
        if title is not None
    ]
    reward = asked.reward([test.items[i] for i, _ in drawn], [title for _, title in drawn])
    best: dict[int, int] = {}
    for row, (i, _) in enumerate(drawn):
        if i not in best or reward[row] > reward[best[i]]:
            best[i] = row
    chosen = [drawn[row] for row in best.values()]
    items = [test.items[i] for i, _ in chosen]
    return Attacked(BEST_FOREIGN, "fault", items, [bases[i] for i, _ in chosen], [title for _, title in chosen])


def _is_news(title: str | None, base: str, kind: AttackKind) -> bool:
    """True if an attack made another title; one that should read otherwise must have other words, or another order."""
    if title is None or not title.strip():
        return False
    return title != base if kind == "change" else same_text_key(title) != same_text_key(base)


def _titles_of(test: Arms) -> dict[str, list[str]]:
    """Item id -> its logged titles.

    Raises
    ------
    EvaluationError
        If there are fewer than two items.
    """
    if len(test.items) < 2:
        raise EvaluationError("Probing needs two test items at least. Give fit-reward more logs.")
    found: dict[str, list[str]] = {item.item_id: [] for item in test.items}
    for title, index in zip(test.title, test.item_index.tolist(), strict=True):
        found[test.items[index].item_id].append(str(title))
    return found


def _risk_aversion(opened: OpenedRun) -> float:
    """Risk aversion of PPO in this run: its penalty on doubtful rewards."""
    config = opened.run.record("ppo")["config"] if opened.run.done("ppo") else {}
    return float(config.get("risk_aversion", PpoConfig().risk_aversion))


def _table(thoughts: Sequence[Thought]) -> pa.Table:
    """One row an attacked title."""
    parts = []
    for thought in thoughts:
        attacked = thought.attacked
        columns = {
            "attack": [attacked.attack] * len(attacked),
            "item_id": [item.item_id for item in attacked.items],
            "logged_title": list(attacked.bases),
            "title": list(attacked.titles),
            "reward_change": thought.reward,
            "judge_change": thought.judge,
            RELEVANCE: pa.array(scores(thought, RELEVANCE), from_pandas=True),
            FLUENCY: pa.array(scores(thought, FLUENCY), from_pandas=True),
            "caught": ["; ".join(rules) or None for rules in thought.caught],
            "through": thought.through,
        }
        parts.append(pa.table({**columns, "caught": pa.array(columns["caught"], pa.string())}))
    return pa.concat_tables(parts)


def _written(opened: OpenedRun, policy: str | None, asked: Examiner, config: ProbeConfig) -> tuple[SwapFigures, ...]:
    """Titles that the run's policy writes for test items with words swapped."""
    lists, test = shipped_swaps(), opened.arms.of_items(set(opened.splits.test)).items
    items = [item for item in test if any(swapped_item(words, item) != item for words in lists.values())]
    if policy is None or not items:
        return ()
    writes = load_policy(opened.run / policy)

    def writer(items: Sequence[Item]) -> list[str]:
        return [title.text for (title,) in writes.generate(items, 1, seed=config.seed, batch_size=BATCH)]

    return written_for_swapped(writer, items, lists, asked, config.max_items, np.random.default_rng([config.seed, 4]))


def _tell_the_card(run: Run, result: ProbeResult) -> None:
    """Put the tables into the reward model's card, in place of earlier ones."""
    card = run / "reward" / "README.md"
    atomic_write(card, with_probe(card.read_text(encoding="utf-8"), result.attacks, result.written))
    if held := result.open:
        note(f"{counted(len(held), 'attack fools', 'attacks fool')} this run: {', '.join(held)}")
