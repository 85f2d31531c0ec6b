"""What is installed, what the machine offers, where things are kept."""

import platform
from importlib import metadata
from typing import Any

import numba

from dlnmc import __version__, studies
from dlnmc.engine import SCHEMES, STATES
from dlnmc.executors import thread_count
from dlnmc_kernels.jit import arithmetic, cache_directory, cpu_name, source_hash

PACKAGES = ("numpy", "scipy", "xarray", "netCDF4", "llvmlite", "pydantic", "click", "matplotlib")


def facts() -> dict[str, Any]:
    """The facts, as plain values."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "dlnmc": __version__,
        "kernel_hash": source_hash(),
        "python": platform.python_version(),
        "numba": numba.__version__,
        "packages": versions,
        "machine": f"{platform.machine()} {platform.system()}",
        "cpu": cpu_name(),
        "simd": arithmetic(),
        "threads": thread_count(None),
        "cache": str(cache_directory()),
        "studies": studies.names(),
        "states": [f"{row.model.__name__}: {row.state} in coordinates {row.coordinates}" for row in STATES],
        "schemes": list(SCHEMES),
    }


def as_text(values: dict[str, Any]) -> str:
    """The facts, a line each."""
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {version}" for name, version in value.items())
        elif isinstance(value, list):
            value = "; ".join(value)
        lines.append(f"{key:12} {value}")
    return "\n".join(lines)
