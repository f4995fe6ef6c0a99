"""`python -m embedder`"""

import logging
import os

import psutil

from embedder.embedding import Embedding
from embedder.metrics import EmbedderMetrics
from embedder.models.from_settings import build_models
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from embedder.similarity import Similarity
from servicekit.main import main
from servicekit.server import Server, run_until_signal
from servicekit.telemetry import metrics_exporter, new_registry
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc

_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name


async def run(settings: EmbedderSettings) -> None:
    """Serve until a signal comes."""
    models = build_models(settings)
    registry = new_registry()
    metrics = EmbedderMetrics(registry)
    metrics.watch(models)
    embedding = Embedding(models, metrics)
    process = psutil.Process()
    servicer = EmbeddingServicer(
        embedding, Similarity(embedding), models, resident_bytes=lambda: process.memory_info().rss
    )
    server = Server(settings, registry, services=[_SERVICE])
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(servicer, server.grpc)
    on_start = models.preload if settings.embedding_preload else None
    try:
        with metrics_exporter(registry, address=settings.bind_address, port=settings.embedder_metrics_port):
            await run_until_signal(server, settings.embedder_port, on_start=on_start)
    finally:
        models.close()


if __name__ == "__main__":
    status = main("embedder", EmbedderSettings, run)
    logging.shutdown()
    # A download or a model at work in a thread cannot be interrupted, and the interpreter would wait for it. Nothing
    # of ours is left to be written.
    os._exit(status)
