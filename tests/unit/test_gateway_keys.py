"""API keys and tokens: what is kept says nothing about the secret, and nothing but the token opens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.bearer import bearer_token
from gateway.auth.keys import KeyState, create_key, is_id, is_name, parse_token
from gateway.auth.scopes import Scope, scope_of
from trimem.embedding.v1 import embedding_pb2, model_admin_pb2
from trimem.store.v1 import code_service_pb2, event_service_pb2, graph_service_pb2, store_admin_pb2

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def new_key(**values: Any) -> Any:
    return create_key("laptop", frozenset({Scope.READ}), now=NOW, **values)


def test_a_token_names_its_key_and_matches_it_alone() -> None:
    (key, token), (other, _) = new_key(), new_key()
    parsed = parse_token(token)

    assert parsed is not None
    assert token == f"trimem_{key.id}_{parsed.secret}"
    assert key.matches(parsed.secret)
    assert not other.matches(parsed.secret)
    assert len(parsed.secret) == 64  # 256 bits


def test_neither_a_key_nor_a_parsed_token_shows_what_is_secret() -> None:
    key, token = new_key()
    parsed = parse_token(token)

    assert parsed is not None
    assert parsed.secret not in repr(parsed)
    assert key.digest.hex() not in repr(key)
    assert repr(key.digest) not in repr(key)


def test_two_keys_with_the_same_secret_would_not_look_alike() -> None:
    assert new_key()[0].salt != new_key()[0].salt


@pytest.mark.parametrize(
    "token",
    [
        "",
        "trimem",
        "trimem__",
        "trimem_0123456789ab_",
        "trimem_0123456789ab_" + "0" * 63,
        "trimem_0123456789ab_" + "0" * 65,
        "trimem_0123456789AB_" + "0" * 64,
        "trimem_0123456789ab_" + "０" * 64,  # noqa: RUF001 - digits, but of another kind
        "Trimem_0123456789ab_" + "0" * 64,
        "trimem_0123456789ab_" + "0" * 64 + "\n",
        " trimem_0123456789ab_" + "0" * 64,
    ],
)
def test_what_is_no_token_is_not_read_as_one(token: str) -> None:
    assert parse_token(token) is None


@given(st.text())
def test_no_text_is_trouble(text: str) -> None:
    assert parse_token(text) is None
    assert bearer_token([text]) in {"", *text.split(" ")}


def test_a_key_is_live_until_it_expires_or_is_revoked() -> None:
    key, _ = new_key(expires=NOW + timedelta(days=1))

    assert key.state(NOW) is KeyState.LIVE
    assert key.state(NOW + timedelta(days=1)) is KeyState.EXPIRED
    assert key.revoke(NOW).state(NOW) is KeyState.REVOKED
    assert new_key()[0].state(NOW + timedelta(days=100_000)) is KeyState.LIVE


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("laptop", True),
        ("ci.example-com_2", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("-laptop", False),
        ("two words", False),
        ("naïve", False),
        ("line\n", False),
        ("0123456789ab", False),  # would be taken for an id
    ],
)
def test_names_are_short_and_plain_and_no_ids(name: str, good: bool) -> None:
    assert is_name(name) is good


def test_ids_are_ids() -> None:
    assert is_id(new_key()[0].id)


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([], None),
        (["Bearer abc"], "abc"),
        (["bearer abc"], "abc"),
        (["BEARER  abc"], "abc"),
        (["Bearer"], ""),
        (["Bearer "], ""),
        (["Bearerabc"], ""),
        (["Bearer\tabc"], ""),
        (["Bearer abc def"], ""),
        (["Bearer abc, Bearer abc"], ""),
        (["Basic abc"], ""),
        (["abc"], ""),
        ([""], ""),
        (["Bearer äbc"], ""),
        (["Bearer abc\n"], ""),
        (["Bearer abc", "Bearer abc"], ""),
        ([b"Bearer abc"], ""),
    ],
)
def test_a_token_stands_behind_bearer_in_the_only_header(headers: list[str | bytes], token: str | None) -> None:
    assert bearer_token(headers) == token


def test_reads_read_and_all_else_writes_but_embedding_is_its_own() -> None:
    events = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]
    code = code_service_pb2.DESCRIPTOR.services_by_name["CodeService"]
    graph = graph_service_pb2.DESCRIPTOR.services_by_name["GraphService"]
    embedding = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
    stored = [*events.methods, *code.methods, *graph.methods]
    reads = {"GetEvent", "ListEvents", "SearchEvents"}
    reads |= {"ListRepositories", "ListFiles", "GetChunk", "SearchCode"}
    reads |= {"GetNode", "SearchNodes", "Traverse", "FindPath"}

    assert {method.name for method in stored if scope_of(method) is Scope.READ} == reads
    assert {scope_of(method) for method in stored if method.name not in reads} == {Scope.WRITE}
    assert {scope_of(method) for method in embedding.methods} == {Scope.EMBED}
    # They are not public; if they were, nobody could change anything with `read`.
    admin = [
        *model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"].methods,
        *store_admin_pb2.DESCRIPTOR.services_by_name["StoreAdminService"].methods,
    ]
    assert {method.name for method in admin if scope_of(method) is Scope.READ} == {"GetStatus"}
