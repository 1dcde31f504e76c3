"""``rlopt ppo``."""

from pathlib import Path
from typing import Any

import click

from rlopt.cli import options
from rlopt.cli.configured import Configured, from_config, preset
from rlopt.cli.show import show


@click.command("ppo", cls=Configured)
@from_config(
    "PpoConfig", "algorithm", "steps", "batch_size", "generations", "learning_rate", "kl_coef", "kl_target", "learn",
    "monitor", "bf16", "gradient_checkpointing", "vllm", "risk_aversion", "temperature", "save_every", "report_to",
)  # fmt: skip
@click.option(
    "--update",
    is_flag=True,
    help="After fit-reward --update: continue from the run's policy instead of starting again.",
)
@from_config("PpoConfig", "kl_last_coef", "replay")
@click.option("--force", is_flag=True, help="Train again even if nothing has changed since the last time.")
@from_config("SftConfig", "model", "gguf_file")
@preset()
@options.in_run
@options.common
def command(
    config: Path | None,
    run_path: str,
    model: str | None,
    gguf_file: str | None,
    force: bool,
    update: bool,
    **flags: Any,
) -> None:
    """Train the title policy with PPO against the reward, close to the supervised policy.

    If the run has no supervised policy, ppo trains it first, from --model. Metrics go to metrics/ppo.jsonl of the run,
    a figure of gains against KL to metrics/ppo.svg. If interrupted, the same command continues from the last
    checkpoint and ends with the same weights; if finished and unchanged, it returns at once. `accelerate launch -m
    rlopt ppo` shares the training between processes.

    --update continues from the last policy instead of the supervised one, and stays close to both: the penalty per
    token is kl_coef log(pi / pi_sft) + kl_last_coef log(pi / pi_last). PPO also rehearses items that the new logs do
    not show (--replay), and prints how much it forgot of them: predicted lift and KL before and after, on the same
    items.

    \b
    Example:
      rlopt ppo --steps 2000 --kl-coef 0.1
      rlopt ppo --update --steps 300
    """
    from rlopt.config import PpoConfig, SftConfig

    run = options.fitted_run(run_path)
    settings = options.settings(PpoConfig, config, flags, run)
    chosen = {"model": model, "gguf_file": gguf_file}
    sft = options.settings(SftConfig, config, {**chosen, "seed": flags["seed"]}, run)

    from rlopt.training.trackers import check_trackers

    check_trackers(settings.report_to)  # before anything slow is loaded

    from rlopt.stages.common.rules import check_rules
    from rlopt.stages.ppo.stage import train_ppo

    check_rules(run, config)
    if update and any(chosen.values()):
        raise click.UsageError("--update goes on from the run's policy: leave --model and --gguf-file out.")
    result = train_ppo(run, settings, sft, sft_as_given=any(chosen.values()), force=force, update=update)
    show(result, result.to_text())
