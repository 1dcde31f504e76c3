"""``rlopt ppo``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.sft import sft_model_options
from rlopt.cli.show import show


@click.command("ppo")
@click.option(
    "--algorithm",
    type=click.Choice(["ppo", "grpo", "rloo"]),
    help="PPO, or a rival on the same reward; each writes the folder of its name.  [default: ppo]",
)
@click.option("--steps", type=int, help="Updates.  [default: 2000]")
@click.option("--batch-size", type=int, help="Titles an update.  [default: 64]")
@click.option("--generations", type=int, help="Titles an item in a batch; by default 1, for GRPO and RLOO 8.")
@click.option(
    "--learning-rate",
    type=float,
    help="At the start; falls linearly to zero. By default 0.0002, or less for all weights of a pretrained model.",
)
@click.option("--kl-coef", type=float, help="Weight of the KL penalty to the SFT policy.  [default: 0.1]")
@click.option("--kl-target", type=float, help="KL in nats a title above which that weight grows.  [default: 3.5]")
@click.option(
    "--learn",
    type=click.Choice(["auto", "full", "head", "last-n", "lora", "adalora", "ia3"]),
    help="What learns, as in rlopt sft.  [default: auto]",
)
@click.option(
    "--monitor/--no-monitor", default=None, help="Stop past the peak of the monitor, and go back to it; on by default."
)
@click.option("--bf16/--no-bf16", default=None, help="Compute in bfloat16; by default on a GPU that can.")
@click.option(
    "--gradient-checkpointing/--no-gradient-checkpointing",
    default=None,
    help="Less memory for more time; by default for large models on a GPU.",
)
@click.option(
    "--vllm", type=click.Choice(["off", "colocate", "server"]), help="vLLM writes the rollouts.  [default: off]"
)
@click.option("--risk-aversion", type=float, help="Standard deviations taken off a title's effect.  [default: 1.0]")
@click.option("--temperature", type=float, help="Sampling temperature.  [default: 1.0]")
@click.option("--save-every", type=int, help="Updates between checkpoints.  [default: 100]")
@click.option("--report-to", multiple=True, metavar="TRACKER", help="tensorboard, wandb or trackio; repeatable.")
@click.option("--force", is_flag=True, help="Train anew although nothing changed since the last time.")
@sft_model_options
@options.configured
@options.in_run
@options.common
def command(
    config: Path | None,
    run_path: str,
    model: str | None,
    gguf_file: str | None,
    report_to: tuple[str, ...],
    force: bool,
    **flags: Any,
) -> None:
    """Train the title policy by PPO against the reward, close to the supervised policy.

    Trains the supervised policy first when the run has none (--model then says from what). Metrics go to
    metrics/ppo.jsonl of the run, gains against KL to metrics/ppo.svg. Interrupted, the same command continues from
    the last checkpoint and ends with the same weights; finished and unchanged, it returns at once.
    `accelerate launch -m rlopt ppo` shares it between processes.

    \b
    Example:
      rlopt ppo --steps 2000 --kl-coef 0.1
    """
    from rlopt.config import PpoConfig, SftConfig

    run = options.fitted_run(run_path)
    settings = options.settings(PpoConfig, config, {**flags, "report_to": report_to or None}, run)
    chosen = {"model": model, "gguf_file": gguf_file}
    sft = options.settings(SftConfig, config, {**chosen, "seed": flags["seed"]}, run)

    from rlopt.stages.common.rules import check_rules
    from rlopt.stages.ppo.stage import train_ppo

    check_rules(run, config)
    result = train_ppo(run, settings, sft, sft_as_given=any(chosen.values()), force=force)
    show(result, result.to_text())
