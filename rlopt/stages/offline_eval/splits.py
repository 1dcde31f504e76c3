"""Nobody is evaluated on what it learned from: the refusals that stand before every evaluation."""

from collections.abc import Iterable
from pathlib import Path

from reward.arms import Arms
from reward.logs.catalogue import read_items
from reward.logs.sources.local import LocalCopy, Source, local
from reward.logs.splits import Splits
from rlopt.errors import EvaluationError
from rlopt.files import fingerprint
from rlopt.run import Run
from rlopt.stages.common.columns import mapping_for
from rlopt.stages.common.title_source import TitleSource
from rlopt.wording import counted

RUN, NOTHING = "run", "nothing"


def check_items(splits: Splits, arms: Arms) -> None:
    """Refuse splits of other logs, and a test side too small for any comparison.

    Raises
    ------
    EvaluationError
        Items of a side are not in the logs, or fewer than two test items are.
    """
    known = {item.item_id for item in arms.items}
    for side, items in (("train", splits.train), ("judge", splits.judge), ("test", splits.test)):
        if strange := sorted(set(items) - known):
            raise EvaluationError(
                f"This run's logs lack {counted(len(strange), f'{side} item')} of its splits (first: "
                f"{strange[0]!r:.60}): the splits are those of other logs. Run rlopt fit-reward again."
            )
    if len(set(splits.test)) < 2:
        raise EvaluationError(
            "A lift needs at least two test items, and this run has one: its interval would be unknown. "
            "Run again with more items or a larger share: rlopt fit-reward LOGS --test-share 0.2"
        )


def check_trained_on(
    run: Run, source: TitleSource, trained_on: Source | None, splits: Splits, columns: str | None = None
) -> dict[str, str]:
    """Refuse a policy from elsewhere that was trained on the judge's or the test items, or does not say on which.

    Parameters
    ----------
    run
        The run; its column names apply where the file lacks rlopt's.
    source
        The candidate.
    trained_on
        Parquet, CSV or JSONL with the item_id of every item whose clicks it learned from; `RUN` for this run's train
        items, `NOTHING` for none of these logs' clicks; a table in memory or what else `reward.logs.sources.local`
        takes. A policy of the run need not say.
    splits
        The run's splits.
    columns
        The user's column names, of which that of item_id counts here.

    Returns
    -------
    The file's fingerprint by the name "trained-on", nothing without a file.

    Raises
    ------
    LogError
        The file cannot be read or has no item_id.
    EvaluationError
        It shares items with the judge or the test side, or ``--trained-on`` is missing for a policy from elsewhere.
    """
    if trained_on is None and not source.from_run:
        raise EvaluationError(
            f"{source.file} is not of this run, and a policy looks good on the clicks that it learned from. Say which "
            f"those were: --trained-on FILE (item_id of every item), --trained-on {RUN} (this run's train items only), "
            f"or --trained-on {NOTHING} (none of these clicks)."
        )
    if trained_on is None or (isinstance(trained_on, (str, Path)) and str(trained_on) in (RUN, NOTHING)):
        return {}
    if isinstance(trained_on, (str, Path)):
        _check_there(trained_on)
    named = ",".join(part for part in (columns or "").split(",") if part.strip().startswith("item_id="))
    with local(trained_on) as file:
        trained: Iterable[str] = {item.item_id for item in read_items(file, mapping_for(run, file, named or None))}
        content = fingerprint(file.path if isinstance(file, LocalCopy) else Path(file))
    for side, items in (("test", splits.test), ("judge", splits.judge)):
        if shared := sorted(set(trained) & set(items)):
            raise EvaluationError(
                f"{file} shares {counted(len(shared), 'item')} with the {side} items of this run (first: "
                f"{shared[0]!r:.60}): a policy trained on them looks good here whatever it does. Train it on the run's "
                f"train items only ({run / 'data' / 'splits.json'})."
            )
    return {"trained-on": content}


def _check_there(trained_on: str | Path) -> None:
    file = Path(trained_on)
    if not file.exists() and not set("*?[") & set(str(file)) and "://" not in str(trained_on):
        meant = f" Did you mean {NOTHING}?" if str(file).casefold() in ("none", "no", "null") else ""
        raise EvaluationError(
            f"--trained-on must be a file with the item_id of every item that was learned from, {RUN} or {NOTHING}. "
            f"There is no file {file}.{meant}"
        )
