"""A part of a page that stays closed until a reader opens it."""


def folded(summary: str, body: str) -> str:
    """What a reader unfolds, which takes no script."""
    return f"<details><summary>{summary}</summary>{body}</details>"
