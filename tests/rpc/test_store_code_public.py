"""CodeService over HTTP: the gateway, and a store on PostgreSQL behind it."""

import base64
import json
from typing import Any
from urllib.parse import quote

from yarl import URL

from tests.fixtures_code import REPOSITORY, module
from tests.fixtures_gateway import Rig, gateway
from tests.fixtures_store import StoreUnderTest

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(*messages: dict[str, Any]) -> bytes:
    """A body of NDJSON."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in messages)


def file_line(path: str, content: str, **more: str) -> dict[str, Any]:
    """A line with a file."""
    return {**more, "file": {"path": path, "content": base64.b64encode(content.encode()).decode()}}


async def ask(rig: Rig, method: str, path: str, **options: Any) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    async with rig.http.request(method, path, **options) as response:
        return response.status, json.loads(await response.read())


async def test_files_go_in_as_lines_and_come_out_as_json(store: StoreUnderTest) -> None:
    async with gateway(store_target=store.target) as rig:
        body = lines(
            file_line("src/a.py", module("alpha"), repository=REPOSITORY),
            file_line("../b.py", "b = 1\n"),
            {"commit": {}},
        )
        status, answer = await ask(rig, "POST", "/v1/code/files:index", data=body, headers=NDJSON)
        assert (status, answer["stored_count"], answer["failed_count"]) == (200, "1", "1")
        assert answer["results"][0]["path"] == "../b.py"
        assert answer["results"][0]["error"]["message"].startswith("file.path: ")

        status, listed = await ask(rig, "GET", f"/v1/code/files?repository={REPOSITORY}")
        assert (status, [one["path"] for one in listed["files"]]) == (200, ["src/a.py"])
        status, repositories = await ask(rig, "GET", "/v1/code/repositories")
        assert repositories["repositories"][0]["name"] == REPOSITORY
        [row] = await store.rows("SELECT id FROM code_chunks")
        status, chunk = await ask(rig, "GET", f"/v1/code/chunks/{row['id']}")
        assert (status, chunk["name"], chunk["kind"]) == (200, "alpha", "CODE_KIND_FUNCTION")
        status, gone = await ask(rig, "POST", "/v1/code/repositories:delete", json={"repository": REPOSITORY})
        assert (status, gone["file_count"]) == (200, "1")
        status, error = await ask(rig, "POST", "/v1/code/repositories:delete", json={"repository": REPOSITORY})
        assert (status, "REPOSITORY_NOT_FOUND" in json.dumps(error)) == (404, True)


async def test_paths_that_leave_the_repository_lead_nowhere(store: StoreUnderTest) -> None:
    outside = ["../../etc/passwd", "/etc/passwd", "src/../../etc/passwd", "..\\etc\\passwd", "%2e%2e/etc/passwd"]
    async with gateway(store_target=store.target) as rig:
        body = lines(
            file_line("src/a.py", module("alpha"), repository=REPOSITORY),
            *(file_line(path, "x = 1\n") for path in outside),
            {"unchanged": {"path": outside[0], "content_hash": "0" * 64}},
            {"commit": {}},
        )
        status, answer = await ask(rig, "POST", "/v1/code/files:index", data=body, headers=NDJSON)
        assert (status, answer["stored_count"], answer["failed_count"]) == (200, "2", "5")
        assert [one["path"] for one in answer["results"]] == [*outside[:4], outside[0]]
        for result in answer["results"]:
            assert result["error"]["message"].partition(":")[0] in ("file.path", "unchanged.path")
        listed = await ask(rig, "GET", f"/v1/code/files?repository={REPOSITORY}")
        # A name as any other: nobody reads `%2e` as a dot.
        assert [one["path"] for one in listed[1]["files"]] == ["%2e%2e/etc/passwd", "src/a.py"]

        for path in outside[:4]:
            quoted = quote(path, safe="")
            status, listed = await ask(rig, "GET", f"/v1/code/files?repository={REPOSITORY}&path={quoted}")
            assert (status, listed.get("files", [])) == (200, [])
            status, found = await ask(rig, "GET", f"/v1/code/search?query=root&path={quoted}")
            assert (status, found.get("hits", [])) == (200, [])
            for raw in (f"/v1/code/chunks/{quoted}", f"/v1/code/{quoted}", f"/v1/code/chunks/{path}"):
                async with rig.http.request(
                    "GET", URL(f"http://127.0.0.1:{rig.http_port}{raw}", encoded=True)
                ) as response:
                    answered = await response.read()
                assert response.status in (400, 404), raw
                assert b"root:" not in answered


async def test_lines_that_are_no_messages_are_refused(store: StoreUnderTest) -> None:
    async with gateway(store_target=store.target) as rig:
        for line, field in [
            (b'{"repository": "a", "file": {"path": "a.py", "content": "%%%"}}\n', "content"),
            (b'{"repository": "a", "file": {"path": "\\ud800.py", "content": ""}}\n', "path"),
            (b'{"repository": "a", "file": {"path": "a.py"}, "commit": {}}\n', "together"),
            (lines({"file": {"path": "a.py"}}), "repository"),
        ]:
            status, error = await ask(rig, "POST", "/v1/code/files:index", data=line, headers=NDJSON)
            assert status == 400
            assert field in json.dumps(error)
