"""The end of indexing, when it is not all well."""

import pytest

from store.code.meanings import Meanings
from store.code.repository_index import SourceFile
from store.repositories.memory_code import MemoryCode
from store.repositories.memory_graph import MemoryGraph
from store.use_cases.commit_code import commit_code
from store.use_cases.index_items import MOST_RESULTS, IndexSummary
from store.use_cases.prepare_code import PreparedFile, prepare_file
from tests.code_files import ThreadCutter


async def test_files_that_cannot_be_resolved_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Meanings, file: SourceFile, *_arguments: object, **_options: object) -> None:
        raise KeyError(file.path)

    monkeypatch.setattr(Meanings, "of", fail)
    graph, summary = MemoryGraph(), IndexSummary()
    async with MemoryCode().indexing("r") as indexing:
        for path in ("a.py", "b.py"):
            prepared = await prepare_file(ThreadCutter(), "r", path, b"def f(): ...\nf()\n")
            assert isinstance(prepared, PreparedFile)
            await indexing.write([prepared.file], None)
        await commit_code("r", indexing, graph, summary, keep_others=True)
        assert not await indexing.has_changed()

    note = "its calls and imports cannot be resolved: a fault of the store"
    assert [(one.path, one.error, one.note) for one in summary.results] == [("a.py", None, note), ("b.py", None, note)]
    assert {one.label for one in graph.nodes.values()} >= {"a.f", "b.f"}
    summary.remark(["c.py"] * MOST_RESULTS, note)
    assert len(summary.results) == MOST_RESULTS
