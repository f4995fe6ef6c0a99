"""Which ONNX file of a model is run at which precision, and what our quantiser writes into those it makes."""

from pathlib import Path

from embedder.models.checkpoint_files import find_onnx, require_whole_onnx
from embedder.models.errors import ModelUnusableError

#: Metadata of an ONNX file that our quantiser made: how.
QUANTISED_KEY = "trimem.quantised"
#: Metadata of an ONNX file that our quantiser made: SHA-256 of the file that it was made from.
QUANTISED_FROM_KEY = "trimem.quantised_from"

PRECISIONS = ("fp32", "int8")


def int8_name(onnx_file: str | None = None) -> str:
    """Where the int8 variant of an ONNX file lies, relative to the model's directory."""
    path = Path(onnx_file or "onnx/model.onnx")
    return path.with_name(f"{path.stem}_int8.onnx").as_posix()


def graph_file(directory: Path, *, name: str, precision: str, onnx_file: str | None = None) -> tuple[Path, str]:
    """The ONNX file to run, all its parts there, and its precision: "fp32" or "int8".

    `onnx_file` is the path of the one in full precision in `directory`; by default onnx/model.onnx, else model.onnx.
    "auto" is full precision where it is there. `name` is what errors call the model. Raises ModelUnusableError.
    """
    if precision not in ("auto", *PRECISIONS):
        raise ModelUnusableError(f"model {name!r}: the onnx engine runs fp32 and int8, not {precision}")
    small = next((each for each in _int8_names(onnx_file) if (directory / each).exists()), None)
    if precision == "auto":
        precision = "int8" if small and find_onnx(directory, onnx_file) is None else "fp32"
    if precision == "int8":
        if small is None:
            raise ModelUnusableError(
                f"model {name!r}: has no {int8_name(onnx_file)}; `python -m embedder export --int8` makes one "
                "out of any model that loads"
            )
        onnx_file = small
    require_whole_onnx(directory, name=name, onnx_file=onnx_file)
    path = find_onnx(directory, onnx_file)
    if path is None:
        raise FileNotFoundError(f"{directory} changed meanwhile")
    return path, precision


def _int8_names(onnx_file: str | None) -> tuple[str, ...]:
    return (int8_name(onnx_file),) if onnx_file else (int8_name(), int8_name("model.onnx"))
