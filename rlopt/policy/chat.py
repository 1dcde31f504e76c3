"""Text that a model's chat template puts around a message, rendered without trusting the template."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from rlopt.errors import PolicyError

from . import render_chat
from .prompt import MAX_PROMPT_TOKENS

MOST_FRAME_TOKENS = MAX_PROMPT_TOKENS // 2  # the item needs room
_STARTING_SECONDS = 120.0  # for the process to begin on a busy machine
_PROBES = ("THE MESSAGE", "Another one, 12")
# What templates mark turns with: <|im_end|>, </s>, <start_of_turn>, <<SYS>>, [/INST].
_MARK = re.compile(r"<+[^<>\s'\"{}=]{1,64}>+|\[/?[A-Z][A-Z_]*\]")


@dataclass(frozen=True)
class ChatFrame:
    """Frame that a chat template puts around a question.

    Parameters
    ----------
    before, after
        Text before and after a user's message that is to be answered.
    marks
        Marks of turns, the longest first. A message must hold none of them.
    """

    before: str
    after: str
    marks: tuple[str, ...]


def chat_frame(tokenizer: PreTrainedTokenizerBase) -> ChatFrame:
    """The frame that the tokenizer's chat template puts around a user's message.

    Raises
    ------
    PolicyError
        If the tokenizer has no chat template, or it fails, does not end, or does not pass the message on as it is.
    """
    template = _template(tokenizer)
    variables = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    frames = [_around(text, probe) for text, probe in zip(_render(template, variables), _PROBES, strict=True)]
    (before, after), other = frames
    if (before, after) != other:
        raise PolicyError(f"sft.chat: {_THE_TEMPLATE} frames one message other than the next. {_WAY_OUT}")
    marks = set(_MARK.findall(template + before + after))
    marks |= {token for token in tokenizer.all_special_tokens if len(token) > 1 and token in before + after}
    start = tokenizer.bos_token
    if start and before.startswith(start) and tokenizer("")["input_ids"] == [tokenizer.bos_token_id]:
        before = before.removeprefix(start)  # the tokenizer puts it there itself
    size = len(tokenizer(text=before + after, add_special_tokens=False)["input_ids"])
    if size > MOST_FRAME_TOKENS:
        raise PolicyError(
            f"sft.chat: {_THE_TEMPLATE} puts {size:,} tokens around a message, and a prompt holds {MAX_PROMPT_TOKENS}. "
            f"{_WAY_OUT}"
        )
    return ChatFrame(before, after, tuple(sorted(marks, key=lambda mark: (-len(mark), mark))))


_THE_TEMPLATE = "the model's chat template"
_WAY_OUT = "Leave sft.chat out, or take another model."


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    if getattr(tokenizer, "chat_template", None) is None:
        raise PolicyError(
            "sft.chat needs an instruct model, and this one's tokenizer has no chat template. Leave sft.chat out."
        )
    try:
        return str(tokenizer.get_chat_template())
    except (ValueError, TypeError) as error:
        raise PolicyError(f"sft.chat: {_THE_TEMPLATE} cannot be read ({_line(str(error))}). {_WAY_OUT}") from error


def _around(text: str, message: str) -> tuple[str, str]:
    before, found, after = text.partition(message)
    if not found or not after or message in after:
        raise PolicyError(f"sft.chat: {_THE_TEMPLATE} does not frame a user's message. {_WAY_OUT}")
    return before, after


def _render(template: str, variables: dict[str, str]) -> Sequence[str]:
    """Render each of `_PROBES` with the template."""
    command = [sys.executable, "-P", str(Path(render_chat.__file__))]  # -P: its folder's files are not to be imported
    given = json.dumps({"template": template, "messages": _PROBES, "variables": variables})
    limit = render_chat.MAX_SECONDS + _STARTING_SECONDS
    try:
        done = subprocess.run(  # noqa: S603  # this interpreter and a file of this package
            command, input=given, capture_output=True, text=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PolicyError(f"sft.chat: {_THE_TEMPLATE} does not come to an end. {_WAY_OUT}") from error
    if done.returncode == -signal.SIGALRM:
        raise PolicyError(
            f"sft.chat: {_THE_TEMPLATE} did not come to an end within {render_chat.MAX_SECONDS:g} s. {_WAY_OUT}"
        )
    try:
        found = json.loads(done.stdout)
    except ValueError as error:
        reason = _line(done.stderr.strip().rsplit("\n", 1)[-1]) or f"its process ended with {done.returncode}"
        raise PolicyError(f"sft.chat: {_THE_TEMPLATE} fails ({reason}). {_WAY_OUT}") from error
    if "error" in found:
        raise PolicyError(f"sft.chat: {_THE_TEMPLATE} fails ({_line(found['error'])}). {_WAY_OUT}")
    texts: list[str] = found["texts"]
    return texts


def _line(reason: str) -> str:
    return reason.split("\n", 1)[0].rstrip(".")[:200]
