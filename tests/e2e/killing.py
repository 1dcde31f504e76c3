"""Starts the real command line in a process of its own and kills it with signal 9."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable


def kill_when(condition: Callable[[], bool], *arguments: object) -> None:
    """Start the command and kill it with signal 9 as soon as ``condition`` holds."""
    command = [sys.executable, "-m", "rlopt", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ)
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, f"ended before it could be killed: {process.communicate()[1].decode()}"
        assert time.monotonic() < deadline, "never came to the moment at which it should be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
