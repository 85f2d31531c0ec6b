"""The semicircle law: singular values (or eigenvalues) at equilibrium against the law for d → ∞, the exact mean of the
trace at finite d, and the mean spacing ratio of the Gaussian orthogonal ensemble.

The open question of section 14.3 of Menon's paper.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import xarray as xr
from pydantic import Field

from dlnmc import analysis, dataset
from dlnmc.config import Equilibrium, Run
from dlnmc.descriptions import Description, quoted
from dlnmc.errors import InvalidValue
from dlnmc.models import Model

SPACING_RATIO = 0.5307  # Gaussian orthogonal ensemble, large matrices (Atas, Bogomolny, Giraud and Roux 2013)
STANDARD_ERRORS = 4.0
RUN = Equilibrium
GROUP = "moments"  # that a result must have

Limit = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Settings(Description):
    """The `[study]` table.

    Parameters
    ----------
    title
        What pictures and tables are headed by.
    law_kappa
        The κ of the laws that the result is held against; default: that of each model.
    ks
        Largest Kolmogorov distance to the law, one number or one for each member; not checked where left out.
    trace
        Largest |trace ratio − 1|, beside four standard errors.
    spacing
        Largest distance of the spacing ratio from 0.5307; not checked where left out.
    """

    kind: Literal["semicircle"] = "semicircle"
    title: str = "Equilibrium"
    law_kappa: float | None = Field(default=None, gt=0)
    ks: Limit | tuple[Limit, ...] | None = None
    trace: float = Field(default=0.003, gt=0)
    spacing: float | None = Field(default=None, gt=0)


def check(settings: Settings, runs: Sequence[Run]) -> None:
    """Any equilibrium will do."""


def check_number(settings: Settings, members: int) -> None:
    """Raise InvalidValue where the settings are for another number of runs."""
    if isinstance(settings.ks, tuple) and len(settings.ks) != members:
        raise InvalidValue(
            f"study.ks = {quoted(settings.ks)}: it must be one number, or one for each of {members} members"
        )


def reference(model: Model, settings: Settings) -> Model:
    """The model whose laws a member is held against."""
    return model if settings.law_kappa is None else model.changed(kappa=settings.law_kappa)


def rows(tree: xr.DataTree, settings: Settings) -> Iterator[dict[str, Any]]:
    """One row for each member of the sweep; None stands for what is not known or was not kept."""
    for member in dataset.members(tree):
        yield analysis.row(member, reference(dataset.model_of(member), settings))


def verdicts(tree: xr.DataTree, table: Sequence[dict[str, Any]], settings: Settings) -> Iterator[tuple[str, bool]]:
    """The checks of every member, and the study's own, given the table of rows, in the order of the study file."""
    limits = settings.ks if isinstance(settings.ks, tuple) else [settings.ks] * len(table)
    check_number(settings, len(table))
    members = {analysis.name_of(analysis.head(member)): member for member in dataset.members(tree)}
    for row, limit in zip(table, limits, strict=True):
        name = analysis.name_of(row)
        member = members[name]
        for text, holds in analysis.checks(member, reference(dataset.model_of(member), settings)):
            yield f"{name}: {text}", holds
        if limit is not None:
            text = "Kolmogorov distance not known: there is no law, or no samples were kept"
            if row["ks"] is not None:
                distance = f"{row['ks']:.4f} ± {row['ks_error']:.4f}"
                text = f"Kolmogorov distance {distance} to the law of kappa {row['law_kappa']:g}"
            yield f"{name}: {text} (at most {limit:g})", row["ks"] is not None and row["ks"] <= limit
        one_path = row["paths"] - row["failed_paths"] == 1  # of which no error is known
        if row["trace_ratio"] is not None and not one_path:
            allowed = settings.trace + STANDARD_ERRORS * row["trace_error"]
            off = abs(row["trace_ratio"] - 1.0)
            text = f"trace {row['trace_ratio']:.4f} ± {row['trace_error']:.4f} of its exact mean"
            yield f"{name}: {text} (within {allowed:.4f} of 1)", off <= allowed and math.isfinite(off)
        if settings.spacing is not None and row["spacing_ratio"] is not None:
            off = abs(row["spacing_ratio"] - SPACING_RATIO)
            text = f"spacing ratio {row['spacing_ratio']:.4f} ± {row['spacing_error']:.4f}"
            yield f"{name}: {text} (within {settings.spacing:g} of {SPACING_RATIO})", off <= settings.spacing
