"""A toy language of titles in which every word tells what it is: a tagger can learn it without a mistake."""

import random

BRANDS = ("羚跑", "nike", "云上", "acme")
PRODUCTS = ("跑步鞋", "背包", "电脑包", "手表", "boots")
FILLERS = ("新款", "包邮", "时尚", "2024", "春季", "大码")

Entities = list[tuple[str, str]]


def tagged_titles(n: int, seed: int = 0) -> list[tuple[str, Entities]]:
    """``n`` different titles of at least 16 characters with their entities."""
    rng = random.Random(seed)
    found: dict[str, Entities] = {}
    while len(found) < n:
        words = [(rng.choice(FILLERS), "") for _ in range(rng.randint(4, 6))]
        words.insert(rng.randint(0, len(words)), (rng.choice(BRANDS), "brand"))
        words.insert(rng.randint(0, len(words)), (rng.choice(PRODUCTS), "product"))
        title = " ".join(word for word, _ in words)
        if len(title) > 15:
            found[title] = [(kind, word) for word, kind in words if kind]
    return list(found.items())
