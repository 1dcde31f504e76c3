"""Starts the real command line in a process of its own and sends it a signal at a chosen moment."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable


def kill_when(condition: Callable[[], bool], *arguments: object) -> None:
    """Start the command and kill it with signal 9 as soon as ``condition`` holds."""
    code, _ = signal_when(signal.SIGKILL, condition, *arguments)
    assert code == -signal.SIGKILL


def signal_when(number: signal.Signals, condition: Callable[[], bool], *arguments: object) -> tuple[int, str]:
    """Start the command and send it a signal as soon as ``condition`` holds; its exit code and stderr."""
    command = [sys.executable, "-m", "rlopt", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        # A shell starts its background jobs with Ctrl-C ignored, and so would be whatever these tests start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 100
    while not condition():
        assert process.poll() is None, f"ended before the signal could be sent: {process.communicate()[1]}"
        assert time.monotonic() < deadline, "never came to the moment at which the signal should be sent"
        time.sleep(0.005)
    process.send_signal(number)
    errors = process.communicate()[1]
    return process.returncode, errors
