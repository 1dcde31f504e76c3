"""``rlopt push``."""

import click

from rlopt.algorithms import DEFAULT, POLICIES
from rlopt.cli import options
from rlopt.cli.show import show


@click.command("push")
@click.argument("run_path", metavar="RUN")
@click.argument("repo", metavar="REPO")
@click.option(
    "--policy",
    type=click.Choice(POLICIES),
    default=DEFAULT.name,
    show_default=True,
    help="Policy of the run to upload.",
)
@click.option("--public", is_flag=True, help="Make a new repository public; by default it is private.")
@click.option("--license", "licence", metavar="NAME", help="Licence to name on the card: apache-2.0, mit, other ...")
@click.option(
    "--language",
    "languages",
    multiple=True,
    metavar="CODE",
    help="Language of the titles to name on the card: en, zh ... Repeatable.",
)
@options.common
def command(
    run_path: str, repo: str, policy: str, public: bool, licence: str | None, languages: tuple[str, ...]
) -> None:
    """Upload a policy, its reward model and their card to the Hugging Face Hub.

    RUN is a run directory, REPO is owner/name on the hub; a new repository is private. The policy goes to the top of
    the repository, the reward model to reward/. The card has licence, language, dates and, after `rlopt offline-eval`,
    the verdict's figures. Log in first (hf auth login, or HF_TOKEN); HF_ENDPOINT names another hub.

    \b
    Example:
      rlopt push runs/default me/spring-titles --license apache-2.0 --language en
    """
    run = options.fitted_run(run_path)
    run.require(policy)

    from rlopt.stages.push import push

    show(push(run, repo, policy=policy, public=public, licence=licence, languages=languages))
