"""From settings to models that wait to be used."""

import asyncio

from embedder.domain import Domain
from embedder.models.loading import mock_loader, torch_loader
from embedder.models.model import Loader, Model
from embedder.models.reference import HubModel, ModelReference, parse_reference
from embedder.models.registry import Configured, Models
from embedder.settings import EmbedderSettings, EmbeddingMode


def build_models(settings: EmbedderSettings) -> Models:
    """The models that the settings ask for, none of them loaded. Domains with equal references share one.

    Raises ModelUnusableError for a reference that is none.
    """
    turn = asyncio.Lock()
    built: dict[ModelReference, Configured] = {}
    configured: dict[Domain, Configured] = {}
    for domain, text, dimension in (
        (Domain.TEXT, settings.embedding_model, settings.embedding_dimension),
        (Domain.CODE, settings.code_embedding_model, settings.code_embedding_dimension),
    ):
        reference = parse_reference(text)
        if reference not in built:
            mock = settings.embedding_mode is EmbeddingMode.MOCK
            device = "cpu" if mock else settings.embedding_device.value
            loader: Loader = (
                mock_loader(reference, dimension=dimension)
                if mock
                else torch_loader(reference, dimension=dimension, device=device)
            )
            built[reference] = Configured(
                Model(reference.name, loader, turn),
                revision=reference.revision if isinstance(reference, HubModel) else "",
                dimension=dimension,
                engine="mock" if mock else "torch",
                device="" if device == "auto" else device,  # known once torch has looked
            )
        configured[domain] = built[reference]
    return Models(configured)
