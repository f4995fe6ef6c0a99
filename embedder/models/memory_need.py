from pathlib import Path


def need(directory: Path, *, engine: str, precision: str) -> int:
    return 0
