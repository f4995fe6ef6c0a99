"""From a reference to an ONNX variant of the model that it means."""

from functools import partial
from pathlib import Path

from embedder.models.catalogue import Catalogue, ModelProfile
from embedder.models.errors import ModelUnusableError
from embedder.models.loading import download_for
from embedder.models.reference import parse_reference, resolve


def export_model(text: str, out: Path, *, int8: bool, catalogue: Catalogue) -> None:
    """Write the model that the reference `text` means to the new directory `out`, as ONNX.

    Raises ModelUnusableError and ModelUnreachableError.
    """
    try:
        from embedder.models.export import Source, export  # torch, onnx: what a service never needs
    except ModuleNotFoundError as error:
        raise ModelUnusableError(
            f"export needs the package {error.name}: install the extra `export` of trimem"
        ) from error
    reference = catalogue.pinned(parse_reference(text))
    profile = catalogue.find(reference) or ModelProfile()
    engine = profile.engine or "torch"
    files = resolve(reference, partial(download_for, engine=engine, profile=profile), pooling=profile.pooling)
    source = Source(
        files.directory,
        reference.name,
        pooling=profile.pooling,
        onnx_file=profile.onnx_file,
        max_tokens=profile.max_tokens,
        trust_remote_code=profile.trust_remote_code,
    )
    export(source, out, int8=int8)
