"""Pages of files."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from store.code.path_filter import PathFilter
from store.code.paths import LONGEST_PATH
from store.code.source import CutMethod
from store.code.stored import SourceFile
from store.repositories.memory_code import MemoryCode
from store.servicers.code_conversion import file_message
from store.use_cases.code_listing import ListFiles
from store.use_cases.page_bytes import PAGE_BYTES
from trimem.store.v1 import code_service_pb2 as pb

FILE = SourceFile(
    path="",
    content_hash=b"x" * 32,
    cut_version=1,
    language="python",
    size=2**40,
    line_count=2**31 - 1,
    chunk_count=2**31 - 1,
    method=CutMethod.SYNTAX_WITH_ERRORS,
    note="",
    update_time=datetime(2026, 1, 1, 1, 1, 1, 999_999, tzinfo=UTC),
)


class Files(MemoryCode):
    """A repository of files that have nothing but paths."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__()
        self.paths = sorted(paths)
        self.asked: list[int] = []

    async def files(self, repository: str, matching: PathFilter, after: str, limit: int) -> list[SourceFile]:
        """See CodeRepository."""
        self.asked.append(limit)
        return [replace(FILE, path=path) for path in self.paths if path > after][:limit]


async def pages(code: Files, page_size: int) -> list[list[SourceFile]]:
    """All pages."""
    found, token = [], ""
    while True:
        page = await ListFiles(code).run("one", "", page_size, token)
        found.append(page.files)
        token = page.next_page_token
        if not token:
            return found


@pytest.mark.parametrize("longest", [10, LONGEST_PATH])
async def test_a_page_fits_into_a_message_and_nothing_is_lost(longest: int) -> None:
    code = Files([f"{number:05}".ljust(longest, "x") for number in range(2500)])

    found = await pages(code, 10_000)

    assert [file.path for page in found for file in page] == code.paths
    sizes = [pb.ListFilesResponse(files=map(file_message, page)).ByteSize() for page in found]
    assert max(sizes) <= PAGE_BYTES
    assert min(sizes[:-1], default=PAGE_BYTES) > PAGE_BYTES * 0.9
    assert max(code.asked) == 1000


@pytest.mark.parametrize(("count", "sizes"), [(0, [0]), (3, [3]), (4, [3, 1]), (6, [3, 3])])
async def test_pages_are_full_but_the_last(count: int, sizes: list[int]) -> None:
    assert [len(page) for page in await pages(Files([f"{number}" for number in range(count)]), 3)] == sizes
