"""The precision of training: what the device has, and what is faster on it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from fastai_training.hyperparameters import HyperParameterError


def _cpu_bf16() -> str:
    """How the CPU multiplies bf16: "matrix" (AMX), "vector" (AVX-512, Arm) or "" for in software, slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    if "amx_bf16" in flags:
        return "matrix"
    return "vector" if "avx512_bf16" in flags or (platform.machine() == "aarch64" and " bf16" in flags) else ""


def choose_precision(asked: str, device: torch.device, *, frozen: bool = False) -> str:
    """Choose fp32, bf16 or fp16 on ``device``; ``frozen``: only the head is trained.

    Raises HyperParameterError for one that it doesn't have.
    """
    if device.type == "cuda":
        if asked == "bf16" and not torch.cuda.is_bf16_supported():
            raise HyperParameterError(
                f"precision=bf16 is not supported by {torch.cuda.get_device_name()}; use fp16 or auto"
            )
        return "fp16" if asked == "auto" else asked
    if asked == "fp16":
        raise HyperParameterError("precision=fp16 needs a GPU and there is none; use auto, bf16 or fp32")
    if asked == "auto":
        # Vector bf16 runs a frozen body 2 to 3 times as fast as fp32, but its backward pass is no faster, and slower in
        # depthwise convolutions.
        return "bf16" if _cpu_bf16() == "matrix" or (frozen and _cpu_bf16() == "vector") else "fp32"
    return asked
