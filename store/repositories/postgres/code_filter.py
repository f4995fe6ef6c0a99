"""Which chunks are wanted, as a condition in SQL."""

from typing import TypeAlias

from store.repositories.code_search import CodeFilter

Conditions: TypeAlias = tuple[str | None, str | None, str | None, list[str] | None, list[str] | None]

#: Of `code_chunks AS c`. Parameters as `conditions` gives them.
MATCHING = """
    ($1::text IS NULL OR c.repository = $1)
      AND ($2::text IS NULL OR c.file_path ^@ $2)
      AND ($3::text IS NULL OR c.file_path ~ $3)
      AND ($4::text[] IS NULL OR c.language = ANY($4))
      AND ($5::text[] IS NULL OR c.kind = ANY($5) OR c.metadata -> 'kinds' ?| $5)
"""


def conditions(matching: CodeFilter) -> Conditions:
    """The parameters of MATCHING."""
    path = matching.path
    return (
        matching.repository or None,
        path.prefix or None,
        path.anchored,
        [*matching.languages] or None,
        [kind.value for kind in matching.kinds] or None,
    )
