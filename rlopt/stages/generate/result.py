"""Result of ``rlopt generate``."""

from dataclasses import dataclass

from reward.plain import Plain


@dataclass(frozen=True)
class GenerateResult(Plain):
    """Result of `generate`.

    Parameters
    ----------
    titles, items
        Rows and items of the output.
    kept_current
        Items whose current title stays.
    promises
        Titles of the output with a promise that their item does not support: current ones, for want of others.
    without_title
        Rows for which no title keeps the rules.
    not_belonging
        New titles below the floor of relevance or fluency, for want of others.
    stopped
        Rule -> titles it stopped, while they were written ("decoding: ...") or afterwards.
    titles_per_second
        Of this call, reading and prediction included.
    reward
        Basis of the choice: "none" (there is no reward yet), "observational", or "within items".
    """

    output: str
    titles: int
    items: int
    mean_reward: float | None
    finished_share: float | None
    kept_current: int
    promises: int
    without_title: int
    not_belonging: int
    stopped: dict[str, int]
    titles_per_second: float
    reward: str
