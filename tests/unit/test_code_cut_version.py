"""Who changes how files are cut, or what names mean, raises CUT_VERSION: only then known files are cut again."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from store.code.cutting import CUT_VERSION, cut
from store.code.source import CutFile
from store.graph import Edge, Node
from tests.code_files import source, sources
from tests.code_graph import code_graph_files, resolve_sources

#: For each version, what it makes of the files in tests/data. Lines are added, with each version one.
_VERSIONS = Path(__file__).parents[1] / "data" / "cut_versions.json"
_PARTS = ("shop", "web", "go", "rust", "java", "c", "cpp")


def _digest() -> str:
    """Of all chunks, outlines and graphs, and of nothing in the files that these do not show."""
    digest = hashlib.sha256()
    for name in sources():
        digest.update(_written(cut(name, source(name))))
    for part in _PARTS:
        files = code_graph_files(part)
        for path, content in files:
            digest.update(_written(cut(path, content)))
        resolved = resolve_sources(*files)
        for written in sorted([*map(_written, resolved.nodes), *map(_written, resolved.edges)]):
            digest.update(written)
    return digest.hexdigest()[:16]


def _written(found: CutFile | Node | Edge) -> bytes:
    return json.dumps(
        asdict(found), default=lambda one: sorted(one) if isinstance(one, frozenset) else str(one)
    ).encode()


def test_what_is_cut_otherwise_has_another_version() -> None:
    known: dict[str, str] = json.loads(_VERSIONS.read_text())
    digest = _digest()

    assert known.get(str(CUT_VERSION)) == digest, (
        f"chunks, outlines or graphs of tests/data are others than those of CUT_VERSION {max(map(int, known))}: "
        f'raise it in store/code/cutting.py, and add its digest, "{digest}", to {_VERSIONS.name}. '
        "(When files in tests/data are others, and the rules are not, the digest alone is replaced.)"
    )
