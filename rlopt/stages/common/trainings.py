"""Steps that all trainings share, whatever learns."""

from pathlib import Path

from rlopt import processes
from rlopt.files import JsonlWriter
from rlopt.training.checkpoints import newest_checkpoint, step_of

LAST_STEPS = 20  # the figures of a training are means over at most this many of its last steps


def steps_done(metrics: JsonlWriter, checkpoints: Path) -> int:
    """Steps after which an interrupted training goes on: those of its newest checkpoint; later metrics are cut off."""
    done = step_of(newest_checkpoint(checkpoints))
    if processes.is_first():
        metrics.truncate_after(done)
    return done
