"""What a figure was measured on, in one line."""

import importlib.metadata
import os
import platform
from pathlib import Path

import jax


def machine() -> str:
    """Processor or accelerator, cores, and the versions that matter."""
    device = jax.devices()[0]
    name = device.device_kind if device.platform != "cpu" else _processor()
    versions = [f"{package} {importlib.metadata.version(package)}" for package in ("jax", "jaxlib")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"Measured on {name}, {cores} cores, Python {platform.python_version()}, " + ", ".join(
        versions
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
