"""Titles that people approved stand; the others are written."""

from collections.abc import Sequence

from reward.belonging.belonging import FLUENCY, RELEVANCE
from reward.items import Item
from rlopt.stages.generate.choice import APPROVED, Choice, choose_titles, known
from rlopt.stages.generate.proposals import Means, Shop


def titles_for(items: Sequence[Item], means: Means, shop: Shop, seed: int) -> list[list[Choice]]:
    """``config.n`` choices an item: those that people approved, then what `choose_titles` finds for the rest."""
    standing = approved(items, means)
    for choices in standing:
        for choice in choices:
            shop.take(str(choice.title))
    lacking = [means.config.n - len(own) for own in standing]
    open_ = [i for i, n in enumerate(lacking) if n]
    if not open_:
        return standing
    written = choose_titles([items[i] for i in open_], means, shop, seed, counts=[lacking[i] for i in open_])
    for i, choices in zip(open_, written, strict=True):
        standing[i] = [*standing[i], *choices]
    return standing


def approved(items: Sequence[Item], means: Means) -> list[list[Choice]]:
    """The titles that people approved for each item, ``config.n`` at most, in their order."""
    titles = [means.reviews.titles_of(item.item_id)[: means.config.n] for item in items]
    owners = [item for item, own in zip(items, titles, strict=True) for _ in own]
    texts = [title for own in titles for title in own]
    if not texts:
        return [[] for _ in items]
    predicted = means.model.predict(owners, texts)
    thought = None if means.belonging is None else means.belonging.predict(owners, texts)
    rows = iter(range(len(texts)))
    return [
        [
            Choice(
                item,
                title,
                reward=known(predicted.reward[row]),
                reward_std=known(predicted.reward_std[row]),
                support=known(predicted.support[row]),
                relevance=None if thought is None else thought.score(RELEVANCE, row),
                fluency=None if thought is None else thought.score(FLUENCY, row),
                kept=title == item.current_title,
                reason=APPROVED,
            )
            for title, row in zip(own, rows, strict=False)
        ]
        for item, own in zip(items, titles, strict=True)
    ]
