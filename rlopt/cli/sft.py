"""``rlopt sft``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.show import show


def sft_model_options(command: options.Command) -> options.Command:
    """``--model`` and ``--gguf-file``: also for ``ppo``, which trains SFT where the run has none."""
    command = click.option("--gguf-file", metavar="NAME", help="The GGUF file in --model's folder.")(command)
    return click.option(
        "--model",
        metavar="ID_OR_PATH",
        help="Causal language model to start from: a folder, a hub id, or smollm2 (extra [smollm2]); "
        "by default a tiny one trained from scratch on your titles.",
    )(command)


@click.command("sft")
@sft_model_options
@click.option(
    "--peft", type=click.Choice(["none", "lora"]), help="What learns: all, or LoRA adapters.  [default: none]"
)
@click.option("--steps", type=int, help="Optimiser steps; by default as many as --epochs needs.")
@click.option("--epochs", type=float, help="Passes over the titles.")
@click.option("--batch-size", type=int, help="Titles a step.")
@click.option("--learning-rate", type=float, help="Peak learning rate.")
@options.configured
@options.in_run
@options.common
def command(config: Path | None, run_path: str, **flags: Any) -> None:
    """Train the supervised policy: a language model that writes titles like those in the logs.

    It is PPO's starting point and reference, and the baseline of offline-eval. `rlopt ppo` calls it when the run
    has none; use this command to choose the model or its settings.

    \b
    Example:
      rlopt sft --model smollm2 --peft lora --steps 200
    """
    from rlopt.config import SftConfig

    run = options.open_run(run_path)
    run.require("fit-reward")
    settings = options.settings(SftConfig, config, flags, run)

    from rlopt.stages.sft import train_sft

    show(train_sft(run, settings))
