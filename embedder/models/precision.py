"""Which number format weights are kept in."""

from pathlib import Path

#: What processors call multiplying bf16 numbers, on x86 (AVX-512, AMX) and on ARM.
_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})


def fitting(precision: str, *, engine: str, device: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The number format to use: what is asked for, or for "auto" what is fast without losing anything that matters.

    That is half precision where the hardware computes in it, else fp32: bf16 on a CPU without instructions for it is
    slower, and so is fp16 on any CPU. onnxruntime computes in fp32 and int8 on CPUs: half precision is fp32 there.
    """
    if engine == "onnx":
        return precision if precision in ("auto", "int8") else "fp32"
    if precision != "auto":
        return precision
    if device == "cuda":
        return "fp16"
    return "bf16" if device == "cpu" and _computes_in_bf16(cpuinfo) else "fp32"


def _computes_in_bf16(cpuinfo: Path) -> bool:
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux
        return False
    flags = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    return not _BF16.isdisjoint(next(flags, ()))
