"""Renders a chat template in a process of its own, with little time and memory; `rlopt.policy.chat` starts it.

A template is a program that came with a model, and nothing says that it ends. What it may touch is transformers'
business (a sandbox); how long it runs and how much it takes cannot be limited within a process.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

MAX_SECONDS = 10.0
MAX_BYTES = 1 << 30
MAX_CHARACTERS = 100_000


def main() -> None:
    """Read the template, its messages and variables as JSON; write what each message becomes, or what went wrong."""
    from transformers.utils import chat_template_utils

    given = json.load(sys.stdin)
    signal.setitimer(signal.ITIMER_REAL, MAX_SECONDS)  # nobody handles the signal: it ends the process
    _limit_memory()
    chats = [[{"role": "user", "content": message}] for message in given["messages"]]
    render: Any = chat_template_utils.render_jinja_template
    found: dict[str, Any]
    try:
        texts, _ = render(chats, chat_template=given["template"], add_generation_prompt=True, **given["variables"])
        found = {"texts": [str(text) for text in texts]}
        if max(map(len, found["texts"])) > MAX_CHARACTERS:
            found = {"error": f"it makes more than {MAX_CHARACTERS:,} characters of a short message"}
    except Exception as error:  # whatever a stranger's program raises
        found = {"error": (str(error).strip() or type(error).__name__).split("\n", 1)[0][:200]}
    json.dump(found, sys.stdout)


def _limit_memory() -> None:
    """At most `MAX_BYTES` more than now, where the system tells how much that is (Linux)."""
    status = Path("/proc/self/statm")
    if status.exists():
        import resource

        now = int(status.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = now + MAX_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


if __name__ == "__main__":
    main()
