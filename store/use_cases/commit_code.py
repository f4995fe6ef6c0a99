"""The end of indexing: what all files together say."""

import asyncio
import json

from store.code.outline_json import outline_from_json
from store.code.resolution import Resolved, resolve
from store.code.source import Outline
from store.graph import CODE_NAMESPACE
from store.repositories.code import Indexing
from store.repositories.graph import GraphRepository
from store.use_cases.index_items import IndexSummary


async def commit_code(
    repository: str, indexing: Indexing, graph: GraphRepository, summary: IndexSummary, *, keep_others: bool
) -> None:
    """Delete the files that were not named, unless told to keep them, and resolve calls across all files.

    When nothing has changed since the last commit, there is nothing to resolve. What is broken off goes on with the
    next commit: the change is noted until the graph is written.
    """
    if not keep_others:
        summary.deleted = await indexing.delete_unnamed()
    if await indexing.has_changed():
        resolved = await _resolved(repository, indexing)
        # Resolving takes long, and nothing else keeps an older graph from being written.
        await graph.replace_namespace(
            CODE_NAMESPACE + repository, resolved.nodes, resolved.edges, require_allowed=indexing.require_held
        )
        summary.remark(resolved.unresolved, "its calls and imports cannot be resolved: a fault of the store")
    await indexing.commit()
    summary.nodes, summary.edges = await indexing.graph_size()


async def _resolved(repository: str, indexing: Indexing) -> Resolved:
    """Calls may lead anywhere, so this needs the outlines of all files at once, unlike all else here."""
    outlines: list[tuple[str, str, Outline]] = []
    async for some in indexing.outlines():
        outlines += await asyncio.to_thread(
            lambda rows: [(path, language, outline_from_json(json.loads(text))) for path, language, text in rows], some
        )
    return await asyncio.to_thread(resolve, repository, outlines)
