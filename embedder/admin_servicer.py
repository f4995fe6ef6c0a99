"""ModelAdminService: loading, unloading and swapping models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from embedder.messages import model_domain_of, model_info
from embedder.models.errors import ModelUnusableError
from embedder.models.reference import parse_reference
from embedder.models.registry import Models
from servicekit.errors import InvalidArgumentError
from trimem.embedding.v1 import model_admin_pb2 as pb
from trimem.embedding.v1 import model_admin_pb2_grpc as rpc

if TYPE_CHECKING:
    import grpc

    Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class ModelAdminServicer(rpc.ModelAdminServiceServicer):
    """The gRPC face for operators."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def LoadModel(self, request: pb.LoadModelRequest, _context: Context) -> pb.LoadModelResponse:
        """Read a model into memory."""
        domain = model_domain_of(request.domain)
        await self._models[domain].ready(again=True)
        return pb.LoadModelResponse(model=model_info(self._models.describe(domain)))

    async def UnloadModel(self, request: pb.UnloadModelRequest, _context: Context) -> pb.UnloadModelResponse:
        """Free a model's memory."""
        domain = model_domain_of(request.domain)
        await self._models[domain].unload()
        return pb.UnloadModelResponse(model=model_info(self._models.describe(domain)))

    async def SwapModel(self, request: pb.SwapModelRequest, _context: Context) -> pb.SwapModelResponse:
        """Exchange a model."""
        domain = model_domain_of(request.domain)
        _require_name(request.name)
        swapped = await self._models.swap(
            domain,
            name=request.name,
            engine=request.engine,
            precision=request.precision,
            allow_space_change=request.allow_space_change,
            dry_run=request.dry_run,
        )
        return pb.SwapModelResponse(
            previous=model_info(swapped.previous),
            current=model_info(swapped.current),
            space_changed=swapped.space_changed,
        )


def _require_name(name: str) -> None:
    """Raise InvalidArgumentError unless it is empty or may name a model."""
    try:
        if name:
            parse_reference(name)
    except ModelUnusableError as error:
        raise InvalidArgumentError("name", error.message) from error
