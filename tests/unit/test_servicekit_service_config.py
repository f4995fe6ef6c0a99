"""What a channel is told about balancing, health and retries."""

from servicekit.channels import service_config
from trimem.embedding.v1 import embedding_pb2
from trimem.store.v1 import event_service_pb2

EMBEDDING = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"]
EVENTS = event_service_pb2.DESCRIPTOR.services_by_name["EventService"]


def test_calls_are_spread_over_the_healthy_addresses() -> None:
    config = service_config([])
    assert config["loadBalancingConfig"] == [{"round_robin": {}}]
    assert config["healthCheckConfig"] == {"serviceName": ""}


def test_only_methods_without_side_effects_are_retried() -> None:
    (retried,) = service_config([EMBEDDING, EVENTS])["methodConfig"]
    assert {f"{name['service']}/{name['method']}" for name in retried["name"]} == {
        "trimem.embedding.v1.EmbeddingService/Embed",
        "trimem.embedding.v1.EmbeddingService/EmbedStream",
        "trimem.embedding.v1.EmbeddingService/CountTokens",
        "trimem.embedding.v1.EmbeddingService/ComputeSimilarity",
        "trimem.embedding.v1.EmbeddingService/ListModels",
        "trimem.store.v1.EventService/GetEvent",
        "trimem.store.v1.EventService/ListEvents",
        "trimem.store.v1.EventService/SearchEvents",
    }
    assert retried["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert retried["retryPolicy"]["maxAttempts"] > 1


def test_no_method_has_a_timeout_in_the_config() -> None:
    """That knob fires early in gRPC; deadlines are given with every call."""
    (retried,) = service_config([EMBEDDING, EVENTS])["methodConfig"]
    assert "timeout" not in retried


def test_a_channel_without_known_services_retries_nothing() -> None:
    assert "methodConfig" not in service_config([])
