"""The processes of one command (`accelerate launch`): which one this is, and which of them writes."""

import os
from datetime import timedelta

LONGEST_WAIT = timedelta(days=30)  # for a process that has more to do than the others


def rank() -> int:
    """Number of this process, 0 for the first and for one that is alone."""
    return int(os.environ.get("RANK", "0"))


def count() -> int:
    """Number of processes that work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """True for the process that writes files and speaks to the user."""
    return rank() == 0


def device() -> str | None:
    """The GPU of this process, None on a machine without."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else None


def join() -> None:
    """Meet the other processes, so that `wait` waits for them; at once where there is one."""
    if count() > 1:
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def wait() -> None:
    """Go on when all processes have come here; at once where there is one, or none has joined the others yet."""
    if count() > 1:
        import torch.distributed

        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
