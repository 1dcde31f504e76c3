"""Seconds of the review's pages with 100,000 proposals, before and after half of them are decided.

python tests/benchmarks/review_pages.py                      # SQLite; a minute or two
python tests/benchmarks/review_pages.py --reviews postgresql://me:$PASSWORD@host/empty
"""

import argparse
import html
import re
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert, select
from starlette.testclient import TestClient

from rlopt.config import ReviewConfig
from rlopt.reviewing import audit, queue
from rlopt.reviewing.app import application
from rlopt.reviewing.checks import Checked
from rlopt.reviewing.database import opened, writing
from rlopt.reviewing.proposals import Proposal, add
from rlopt.reviewing.tables import PROPOSALS, RATINGS

ADDRESS = "http://127.0.0.1"


class NoChecks:
    """Stand-in for the checks: nothing is typed here."""

    def check(self, item_id: str, facts: dict[str, tuple[str, ...]], current: str | None, title: str) -> Checked:
        """Check without any result."""
        return Checked((), None, None, None, None, None, None, None)


def proposals(n: int, seed: int) -> list[Proposal]:
    """Made-up rows as wide as real ones."""
    rng = np.random.default_rng(seed)
    chance = rng.random(n)
    value = rng.lognormal(3, 2, n) * np.where(chance > 0.5, 1e6, 1)  # what is decided stands first: the worst case
    silk = {"material": ("真丝",)}  # of few items: a word of two characters
    facts = {"brand": ("Trailmark",), "category": ("Backpacks",), "description": ("A backpack for long walks. " * 8,)}
    title = "Burgundy Trailmark Ripstop Nylon Hiking Backpack, {} L"
    return [
        Proposal(
            "policy", f"item-{k:06d}", "v", title.format(k), f"Hiking Backpack {k}", False, None,
            None if k % 20 else "fluency: 0.02, below 0.20", 0.03, 0.9, 0.9, 0.9, facts if k % 5000 else facts | silk,
            0.1, -0.1, 0.3, float(chance[k]), float(value[k]),
        )
        for k in range(n)
    ]  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--proposals", type=int, default=100_000)
    parser.add_argument("--reviews", help="an empty PostgreSQL database; by default a SQLite file")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1, help="shops, one after the other")
    parser.add_argument("--first-seed", type=int, default=0)
    args = parser.parse_args()
    for seed in range(args.first_seed, args.first_seed + args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            measure(args.reviews or str(Path(folder) / "reviews.db"), args.proposals, args.repeat, seed)


def measure(place: str, n: int, repeat: int, seed: int) -> None:
    """One shop."""
    with opened(place, create=True) as engine:
        began = time.perf_counter()
        add(engine, proposals(n, seed), seed=seed, second_opinions=0.1)
        print(f"loading {n:,} proposals: {time.perf_counter() - began:.1f} s")
        app = application(engine, NoChecks(), ReviewConfig(sample=1), frozenset({"127.0.0.1"}))
        client = TestClient(app, base_url=ADDRESS)
        page = client.get("/sign-in").text
        client.post("/sign-in", data={"csrf": field(page, "csrf"), "name": "Ann"})
        timed(client, repeat, "nothing decided")
        page = client.get("/bulk?chance=50").text
        sample = dict.fromkeys(re.findall(r'name="(sample-\d+)" value="fine"', page), "fine")
        began = time.perf_counter()
        done = client.post("/bulk", data={"csrf": field(page, "csrf"), "plan": field(page, "plan"), **sample}).text
        told = re.findall(r"([\d,]+) titles accepted", done)
        print(f"bulk accept of {told[0]}: {time.perf_counter() - began:.1f} s")
        timed(client, repeat, f"{told[0]} decided")
        decided = read_by_people(engine, n // 10, seed)
        timed(client, repeat, f"{decided:,} more by people")


def read_by_people(engine: Engine, n: int, seed: int) -> int:
    """Three people decide on the ``n`` open titles that come first, as it is written; two rate a fiftieth of all."""
    rng = np.random.default_rng(seed)
    with engine.connect() as connection:
        found = queue.page(connection, queue.Filters(), "Bob", size=n).rows
    events = []
    for row in found:
        history: list[Any] = []
        for reviewer in ("Ann", "Bob", "Cem")[: 2 if row.two else 1]:
            action = str(rng.choice(["accept", "edit", "reject", "skip"], p=[0.6, 0.1, 0.2, 0.1]))
            decision = audit.Decision(
                row.id, action, len(history), f"{row.id}-{reviewer}", f"My title {row.id}", "wrong"
            )  # type: ignore[arg-type]
            history.append(SimpleNamespace(**audit._row(row, history, reviewer, decision)))
        events += [vars(event) for event in history]
    drawn = select(PROPOSALS.c.id).where(~PROPOSALS.c.kept).order_by(PROPOSALS.c.draw).limit(n // 5)
    with writing(engine) as connection:
        for place in (1, 2):
            audit.append(connection, [event for event in events if event["seq"] == place])
        ratings = [
            {
                "proposal": number,
                "nonce": f"{number}-{name}",
                "at": "",
                "reviewer": name,
                "question": question,
                "answer": False,
            }
            for number in connection.execute(drawn).scalars()
            for name in ("Bob", "Cem")
            for question in ("misleading", "off_brand", "harmful", "unpleasant")
        ]
        connection.execute(insert(RATINGS), ratings)
    return len(found)


def timed(client: TestClient, repeat: int, when: str) -> None:
    """Milliseconds of each page, the median and the worst."""
    first = client.get("/queue").text
    following = html.unescape(re.findall(r'<a href="([^"]+)" rel="next"', first)[0])
    pages = {
        "first page": "/queue",
        "next page": following,
        "accepted": "/queue?state=accepted",
        "rejected": "/queue?state=rejected",
        "skipped": "/queue?state=skipped",
        "second": "/queue?state=second",
        "disputed": "/queue?state=disputed",
        "search": "/queue?q=item-09999",
        "search, Chinese": "/queue?q=真丝",
        "search, one character": "/queue?q=丝",
        "search, 2 in vain": "/queue?q=zq",
        "search, in vain": "/queue?q=velvet",
        "search, most": "/queue?q=long walks",
        "search, accepted": "/queue?q=item-09999&state=accepted",
        "flagged": "/queue?flagged=1",
        "flagged, accepted": "/queue?flagged=1&state=accepted",
        "chance": "/queue?chance=99",
        "chance, accepted": "/queue?chance=100&state=accepted",
        "item": "/queue?item=item-099990",
        "bulk, sample": "/bulk?chance=99",
        "rate": "/rate",
        "progress": "/progress",
        "history": "/history",
    }
    print(f"{when:24}{'median ms':>10}{'worst':>8}{'CPU ms':>8}")
    for name, address in pages.items():
        took, computed = [], time.process_time()
        for _ in range(repeat):
            began = time.perf_counter()
            answer = client.get(address)
            took.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == 200
        cpu = 1000 * (time.process_time() - computed) / repeat
        print(f"  {name:22}{np.median(took):10.0f}{max(took):8.0f}{cpu:8.0f}", flush=True)


def field(page: str, name: str) -> str:
    """The value of a hidden field."""
    return html.unescape(re.findall(rf'name="{name}" value="([^"]*)"', page)[0])


if __name__ == "__main__":
    main()
