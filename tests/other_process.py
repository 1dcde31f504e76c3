"""A process beside the test that holds something until the test lets it die, by pipes alone.

An event of multiprocessing would wait forever for a sleeper that was killed.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def holding(folder: Path, imports: str, context: str) -> Iterator["subprocess.Popen[str]"]:
    """A process inside of the context manager that the expression ``context`` makes of ``sys.argv[1]``, the folder.

    It dies without any clean-up at the end, or when it is killed.
    """
    script = (
        f"import os, sys; from pathlib import Path; {imports}\n"
        f"with {context}:\n    print('held', flush=True); sys.stdin.readline(); os._exit(9)\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    with subprocess.Popen(
        [sys.executable, "-c", script, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()
