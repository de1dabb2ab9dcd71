"""What doctor says of a library, by check."""

from __future__ import annotations

from index.doctor import examine
from index.library import Library


def details(library: Library, **options: bool) -> dict[str, str]:
    """Of every check."""
    return {check["name"]: check["detail"] for check in examine(library, **options)["checks"]}


def failing(library: Library) -> dict[str, str]:
    """The checks that are not ok, with their details."""
    health = examine(library)
    failed = {check["name"]: check["detail"] for check in health["checks"] if not check["ok"]}
    assert health["ok"] == (not failed)
    return failed
