"""The semicircle law: singular values (or eigenvalues) at equilibrium against the law for d → ∞, the exact mean of the
trace at finite d, and the mean spacing ratio of the Gaussian orthogonal ensemble.

The open question of section 14.3 of Menon's paper.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import Field

from dlnmc import dataset, laws
from dlnmc.descriptions import Description
from dlnmc.engine import scale
from dlnmc.errors import InvalidValue
from dlnmc.models import DysonBrownianMotion
from dlnmc.statistics import kolmogorov_distance, mean_over_paths

SPACING_RATIO = 0.5307  # Gaussian orthogonal ensemble, large matrices (Atas, Bogomolny, Giraud and Roux 2013)
STANDARD_ERRORS = 4.0


Limit = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Settings(Description):
    """The `[study]` table.

    Parameters
    ----------
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


def check(settings: Settings, members: int) -> None:
    """Raise InvalidValue where the settings do not fit the number of members."""
    if isinstance(settings.ks, tuple) and len(settings.ks) != members:
        raise InvalidValue(f"study.ks = {settings.ks!r}: it must be one number, or one for each of {members} members")


def rows(tree: xr.DataTree, settings: Settings) -> Iterator[dict[str, Any]]:
    """One row for each member of the sweep; None stands for what is not known or was not kept."""
    for member in dataset.members(tree):
        yield _row(member, settings)


def _row(member: xr.DataTree, settings: Settings) -> dict[str, Any]:
    model = dataset.model_of(member)
    reference = model if settings.law_kappa is None else model.changed(kappa=settings.law_kappa)
    row: dict[str, Any] = {name: value for name, value in model.model_dump().items() if name in dataset.SWEPT}
    row |= {"law_kappa": reference.kappa, "paths": member["moments"].sizes["path"]}
    try:
        law = laws.of(reference)
    except InvalidValue:
        law = None
    if law is not None and "samples" in member:
        name = "eigenvalues" if isinstance(model, DysonBrownianMotion) else "singular_values"
        samples = member["samples"][name].to_numpy()[..., : model.size] / scale(model)  # a sweep over sizes is padded
        row["ks"], row["ks_error"] = kolmogorov_distance(samples, law)
    else:
        row["ks"] = row["ks_error"] = None
    trace = mean_over_paths(member["moments"]["trace"].to_numpy())
    exact = laws.trace(reference).mean()
    row["trace_ratio"], row["trace_error"] = trace.value / exact, trace.error / exact
    row["spacing_ratio"] = row["spacing_error"] = None
    if model.size >= dataset.SIZE_WITH_MIDDLE:
        row["spacing_ratio"], row["spacing_error"] = mean_over_paths(member["spacing"]["ratio_middle"].to_numpy())
    row["edge"] = mean_over_paths(member["extremes"]["largest"].to_numpy()).value / scale(model)
    row["edge_law"] = None if law is None else law.support[1]
    row["failed_paths"] = int(np.sum(member["sampler"]["status"].to_numpy() != 0))
    return row


def verdicts(table: Sequence[dict[str, Any]], settings: Settings) -> Iterator[tuple[str, bool]]:
    """The checks of every member, given its row, in the order of the study file."""
    limits = settings.ks if isinstance(settings.ks, tuple) else [settings.ks] * len(table)
    check(settings, len(table))
    for row, limit in zip(table, limits, strict=True):
        name = ", ".join(f"{key} {row[key]:g}" for key in ("depth", "width", "size", "kappa") if key in row)
        yield f"{name}: {row['failed_paths']} of {row['paths']} paths failed (none may)", row["failed_paths"] == 0
        if limit is not None:
            if row["ks"] is None:
                raise InvalidValue(f"{name}: no law to take a Kolmogorov distance to, or no samples were kept")
            text = (
                f"Kolmogorov distance {row['ks']:.4f} ± {row['ks_error']:.4f} to the law of kappa {row['law_kappa']:g}"
            )
            yield f"{name}: {text} (at most {limit:g})", row["ks"] <= limit
        allowed = settings.trace + STANDARD_ERRORS * row["trace_error"]
        off = abs(row["trace_ratio"] - 1.0)
        text = f"trace {row['trace_ratio']:.4f} ± {row['trace_error']:.4f} of its exact mean"
        yield f"{name}: {text} (within {allowed:.4f} of 1)", off <= allowed and math.isfinite(off)
        if settings.spacing is not None and row["spacing_ratio"] is not None:
            off = abs(row["spacing_ratio"] - SPACING_RATIO)
            text = f"spacing ratio {row['spacing_ratio']:.4f} ± {row['spacing_error']:.4f}"
            yield f"{name}: {text} (within {settings.spacing:g} of {SPACING_RATIO})", off <= settings.spacing
