"""`python -m embedder`: the service, and `export`."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from embedder.admin_servicer import ModelAdminServicer
from embedder.domain import Domain
from embedder.embedding import Embedding
from embedder.metrics import EmbedderMetrics
from embedder.models.catalogue_file import load_catalogue
from embedder.models.exporting import export_model
from embedder.models.from_settings import build_models, memory_budget, new_runtime
from embedder.models.memory import map_large_blocks
from embedder.servicer import EmbeddingServicer
from embedder.settings import EmbedderSettings
from embedder.similarity import Similarity
from embedder.tending import tend
from servicekit.main import main
from servicekit.metrics_server import metrics_exporter
from servicekit.server import Server, run_until_signal
from servicekit.telemetry import new_registry
from trimem.embedding.v1 import embedding_pb2, embedding_pb2_grpc, model_admin_pb2, model_admin_pb2_grpc

_SERVICE = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
_ADMIN = model_admin_pb2.DESCRIPTOR.services_by_name["ModelAdminService"].full_name
_HEALTH_NAMES = {domain: f"{_SERVICE}/{domain.name}" for domain in (Domain.TEXT, Domain.CODE)}


async def run(settings: EmbedderSettings) -> None:
    """Serve until a signal comes."""
    map_large_blocks()
    registry = new_registry()
    metrics = EmbedderMetrics(registry)
    memory = memory_budget(settings)
    runtime = new_runtime(settings, metrics)
    models = build_models(settings, runtime, memory)
    metrics.watch(models, runtime.cache, rss=memory.used)
    embedding = Embedding(models, metrics)
    server = Server(settings, registry, services=[_SERVICE, _ADMIN], health_names=[*_HEALTH_NAMES.values()])
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(
        EmbeddingServicer(embedding, Similarity(embedding), models, memory), server.grpc
    )
    model_admin_pb2_grpc.add_ModelAdminServiceServicer_to_server(ModelAdminServicer(models), server.grpc)

    async def report(domain: Domain | None, healthy: bool) -> None:
        for name in ["", _SERVICE, _ADMIN] if domain is None else [_HEALTH_NAMES[domain]]:
            await server.set_ready(healthy, name)

    beside = partial(tend, models, report, idle_unload_seconds=settings.embedding_idle_unload_seconds)
    on_start = models.preload if settings.embedding_preload else None
    try:
        with metrics_exporter(
            registry,
            address=settings.bind_address,
            port=settings.embedder_metrics_port,
            tls=settings.listener_files(),
        ):
            await run_until_signal(server, settings.embedder_port, on_start=on_start, beside=beside)
    finally:
        models.close()
        runtime.close()


async def run_export(options: argparse.Namespace, settings: EmbedderSettings) -> None:
    """Write an ONNX variant of a model."""
    await asyncio.to_thread(
        export_model,
        options.model,
        options.out,
        int8=options.int8,
        catalogue=load_catalogue(settings.embedding_catalogue_file),
    )
    print(options.out)  # noqa: T201 - what the command answers


def start(argv: Sequence[str]) -> int:
    """Run the service or its command, and return the exit code of the process."""
    if argv[:1] == ["export"]:
        options = _export_parser().parse_args(argv[1:])
        return main("embedder", EmbedderSettings, partial(run_export, options), [])
    if {"-h", "--help"} & set(argv):
        print("commands: export; `python -m embedder export --help` describes it\n")  # noqa: T201 - part of --help
    return main("embedder", EmbedderSettings, run, argv)


def _export_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m embedder export",
        description="Write a variant of a model that the onnx engine runs, compare it with the original, and put it in "
        "the same vector space. Set EMBEDDING_MODEL or CODE_EMBEDDING_MODEL to the new directory to use it.",
    )
    parser.add_argument("model", help="hub id `owner/name[@revision]`, directory, or `package:NAME`")
    parser.add_argument("out", type=Path, help="directory to make; must not exist")
    parser.add_argument(
        "--int8", action="store_true", help="weights in int8: a quarter of the memory, faster, a little less exact"
    )
    return parser


if __name__ == "__main__":
    status = start(sys.argv[1:])
    logging.shutdown()
    # A download or a model at work in a thread cannot be interrupted, and the interpreter would wait for it. Nothing
    # of ours is left to be written.
    os._exit(status)
