"""Proposals and a run for tests: what is checked is known by the words of the title."""

from dataclasses import dataclass, field
from typing import Any

from rlopt.reviewing.checks import Broken, Checked
from rlopt.reviewing.proposals import Proposal

HOSTILE = "<script>alert(1)</script> {{7*7}} \"onload='x' ‮drow"


def proposal(number: int, **values: Any) -> Proposal:
    """A proposal for item ``number``; the higher the number, the less it is worth."""
    given: dict[str, Any] = {
        "source": "policy-a",
        "item_id": f"i{number:04d}",
        "item_version": "v1",
        "title": f"New red shirt {number}",
        "current_title": f"Old red shirt {number}",
        "kept": False,
        "reason": None,
        "report": None,
        "reward": 0.05,
        "support": 0.9,
        "relevance": 0.8,
        "fluency": 0.9,
        "facts": {"colour": ("red",), "image": (f"https://shop.example/{number}.jpg",)},
        "lift": 0.1,
        "low": -0.05,
        "high": 0.25,
        "chance": 0.9,
        "value": 1000.0 - number,
    }
    return Proposal(**{**given, **values})


@dataclass
class FakeChecks:
    """A title with "free" promises something; a title is worth a tenth of its words."""

    asked: list[str] = field(default_factory=list)

    def check(self, item_id: str, facts: dict[str, tuple[str, ...]], current: str | None, title: str) -> Checked:
        self.asked.append(title)
        broken = (Broken("promise", "free"),) if "free" in title else ()
        lift = len(title.split()) / 10
        return Checked(broken, lift, lift - 0.1, lift + 0.1, 0.8, 1.0, 0.5, None)
