"""How a training is followed, whatever learns: its metrics and its bar go on from the last checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlopt import processes
from rlopt.files import JsonlWriter
from rlopt.progress import Bar, track
from rlopt.training.checkpoints import newest_checkpoint, step_of

LAST_STEPS = 20  # the figures of a training are means over at most so many of its last steps


@contextmanager
def followed(label: str, metrics: JsonlWriter, steps: int, checkpoints: Path) -> Iterator[Bar]:
    """The bar of a training of ``steps`` steps; metrics of steps after its last checkpoint are cut off.

    Parameters
    ----------
    label
        Of the bar.
    metrics
        Of the training.
    steps
        How many there are in all.
    checkpoints
        An interrupted training goes on from the newest whole checkpoint here.
    """
    done = step_of(newest_checkpoint(checkpoints))
    if processes.is_first():
        metrics.truncate_after(done)
    with track(label, steps, start=done) as bar:
        yield bar
