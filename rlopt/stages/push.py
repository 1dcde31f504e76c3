"""``rlopt push``: a policy of a run, its reward model and its card on the Hugging Face Hub, in one commit."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reward.plain import JsonObject, Plain
from reward.saved import read_json, read_text
from reward.text import HAN
from rlopt.algorithms import DEFAULT
from rlopt.errors import RunError
from rlopt.run import Run
from rlopt.stages.common.policies import policy_folder

CARD = "README.md"


@dataclass(frozen=True)
class PushResult(Plain):
    """Address of the upload, its number of files, and if it is private."""

    url: str
    files: int
    private: bool


def push(
    run: Run,
    repo: str,
    *,
    policy: str = DEFAULT.name,
    public: bool = False,
    licence: str | None = None,
    languages: Sequence[str] = (),
) -> PushResult:
    """Upload ``policy`` (at the top, so that transformers loads it), its reward model (``reward/``) and the card.

    ``HF_ENDPOINT`` names the hub; ``HF_TOKEN`` or ``hf auth login`` authenticates. It uploads no log and no title of
    the run, but words of them are in the tokenizer and in the reward's features.

    Parameters
    ----------
    repo
        "owner/name"; made where there is none.
    public
        Everybody may see it, where it is made now.
    licence, languages
        For the card; by default no licence, and Chinese where most of the logged titles are.

    Raises
    ------
    StageOrderError, PolicyError
        If the run has no such policy.
    RunError
        If the hub refuses, or does not answer.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    run.require("fit-reward", policy)
    card = _card(run, policy, repo, licence, languages)
    operations = [CommitOperationAdd(CARD, card.encode())]
    operations += [CommitOperationAdd(name, str(path)) for name, path in _files(run, policy)]
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)
    try:
        api.create_repo(repo, private=not public, exist_ok=True)
        done = api.create_commit(repo, operations, commit_message=f"{policy} policy by rlopt")
        private = bool(api.model_info(repo).private)  # a repository that was there before keeps its own
    except (ValueError, LocalTokenNotFoundError, HfHubHTTPError, OSError) as error:
        raise RunError(f"The hub {api.endpoint} did not take {repo}: {_reason(error)}") from error
    except Exception as error:  # the client's own network errors, whatever library it speaks with
        if not type(error).__module__.startswith(("httpx", "httpcore", "requests")):
            raise
        raise RunError(f"The hub {api.endpoint} does not answer ({_reason(error)}).") from error
    return PushResult(str(getattr(done, "repo_url", "")) or f"{api.endpoint}/{repo}", len(operations), private)


def _files(run: Run, policy: str) -> Iterator[tuple[str, Path]]:
    """Names in the repository and files: the policy at the top, the reward model in its folder."""
    for folder, before in ((policy_folder(run, policy), ""), (run / "reward", "reward/")):
        for path in sorted(folder.rglob("*")):
            name = before + path.relative_to(folder).as_posix()
            if path.is_file() and name != CARD:
                yield name, path


def _card(run: Run, policy: str, repo: str, licence: str | None, languages: Sequence[str]) -> str:
    from rlopt.report.published import published_card

    return published_card(
        read_text(policy_folder(run, policy) / CARD),
        name=repo.rsplit("/", 1)[-1],
        trained=str(run.record(policy)["finished"])[:10],
        licence=licence,
        languages=languages or _languages(run),
        report=_report(run, policy),
    )


def _report(run: Run, policy: str) -> JsonObject | None:
    stage, folder = ("offline-eval", "eval") if policy == DEFAULT.name else (f"offline-eval-{policy}", f"eval-{policy}")
    path = run / folder / "report.json"
    if not run.done(stage) or not path.is_file():
        return None
    found: JsonObject = read_json(path, JsonObject, "Run rlopt offline-eval again.")
    return found


def _languages(run: Run) -> tuple[str, ...]:
    titles = [str(title) for title in run.arms().title]
    chinese = sum(bool(re.search(f"[{HAN}]", title)) for title in titles)
    return ("zh",) if chinese > len(titles) / 2 else ()


def _reason(error: Exception) -> str:
    """The error's own words in one line, without what looks like a token."""
    return re.sub(r"hf_\w+", "hf_...", " ".join(str(error).split()))[:300]
