"""Numbers in sentences for people."""


def counted(number: float, one: str, many: str | None = None) -> str:
    """``1 item``, ``2,345 items``; ``many`` where it is not ``one`` with an s."""
    shown = f"{number:,.0f}"
    return f"{shown} {one if shown == '1' else many or one + 's'}"
