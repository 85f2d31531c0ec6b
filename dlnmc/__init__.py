"""Monte Carlo for the Riemannian Langevin equation of the Deep Linear Network, and for Dyson Brownian motion.

    model = dlnmc.DeepLinearNetwork(width=64, depth=4, beta=64.0)
    tree = dlnmc.equilibrium(model, paths=4096)

Names are imported when they are first used, so that `import dlnmc` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from dlnmc import geometry as geometry
    from dlnmc import laws as laws
    from dlnmc import statistics as statistics
    from dlnmc.analysis import compare as compare
    from dlnmc.energies import LeastSquares as LeastSquares
    from dlnmc.energies import MatrixCompletion as MatrixCompletion
    from dlnmc.energies import NoEnergy as NoEnergy
    from dlnmc.energies import OwnEnergy as OwnEnergy
    from dlnmc.energies import Polynomial as Polynomial
    from dlnmc.energies import Quadratic as Quadratic
    from dlnmc.energies import QuadraticTo as QuadraticTo
    from dlnmc.errors import Interrupted as Interrupted
    from dlnmc.errors import InvalidValue as InvalidValue
    from dlnmc.errors import RunFailed as RunFailed
    from dlnmc.exact_sampling import exact as exact
    from dlnmc.files import open as open
    from dlnmc.files import save as save
    from dlnmc.findings import summary as summary
    from dlnmc.findings import table as table
    from dlnmc.matrix_observables import observe as observe
    from dlnmc.matrix_observables import rank_jumps as rank_jumps
    from dlnmc.models import DeepLinearNetwork as DeepLinearNetwork
    from dlnmc.models import DysonBrownianMotion as DysonBrownianMotion
    from dlnmc.pictures import plot as plot
    from dlnmc.runs import extend as extend
    from dlnmc.runs import study as study
    from dlnmc.simulation import equilibrium as equilibrium
    from dlnmc.simulation import simulate as simulate
    from dlnmc.simulation import sweep as sweep
    from dlnmc.tables import report as report

_HOME = {
    "DeepLinearNetwork": "models",
    "DysonBrownianMotion": "models",
    "Quadratic": "energies",
    "NoEnergy": "energies",
    "Polynomial": "energies",
    "LeastSquares": "energies",
    "MatrixCompletion": "energies",
    "OwnEnergy": "energies",
    "QuadraticTo": "energies",
    "InvalidValue": "errors",
    "Interrupted": "errors",
    "RunFailed": "errors",
    "compare": "analysis",
    "exact": "exact_sampling",
    "simulate": "simulation",
    "equilibrium": "simulation",
    "sweep": "simulation",
    "study": "runs",
    "extend": "runs",
    "observe": "matrix_observables",
    "rank_jumps": "matrix_observables",
    "open": "files",
    "save": "files",
    "plot": "pictures",
    "summary": "findings",
    "table": "findings",
    "report": "tables",
}

_PACKAGES = ("geometry", "laws", "statistics")

__all__ = [*_HOME, *_PACKAGES]


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"dlnmc.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"dlnmc.{_HOME[name]}"), name)
    raise AttributeError(f"module 'dlnmc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
