"""What a kind of study is: the parts that it runs, what they are held against, its tables and its pictures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import xarray as xr

from dlnmc.config import Run
from dlnmc.descriptions import Description
from dlnmc.errors import InvalidValue
from dlnmc.plotting import Curves, Densities

Parts = Mapping[str, xr.DataTree]
Row = dict[str, Any]
Tables = dict[str, list[Row]]
Verdict = tuple[str, bool | None]  # None: not known
Picture = Curves | Densities

WHOLE = ""  # the name of the part of a study that has one

COLUMNS: Mapping[str, str] = {  # what columns of tables mean, of all studies
    "depth": "the depth N",
    "width": "the width d",
    "size": "the number d of eigenvalues",
    "beta": "the inverse temperature β",
    "kappa": "κ, the strength of the noise in the observable",
    "clock": "the clock in which time is counted",
    "dt": "the time step",
    "time": "the time since the start",
    "part": "the part of the study",
    "paths": "the number of independent paths",
    "failed_paths": "paths that became not finite, which no figure has",
    "stationary": "whether early and late observations agree",
    "largest_z": "early less late means in standard errors, the largest of all averages",
    "allowed_z": "what it would be by chance in one run of 10,000",
    "law_kappa": "the κ of the laws beside it",
    "ks": "Kolmogorov's distance of all values to the law for d → ∞",
    "w1": "Wasserstein's distance W1 of all values to the law for d → ∞",
    "trace_mean": "the mean of Tr WᵀW, or of the sum of squares of eigenvalues",
    "trace_ratio": "that mean over the exact one",
    "trace": "the mean of Tr WᵀW over the exact one",
    "spacing_ratio": "the mean ratio of neighbouring spacings in the middle half, the smaller over the larger",
    "spacing": "the mean ratio of neighbouring spacings",
    "edge": "the mean of the largest value, in the units of the law",
    "edge_law": "the edge of the law",
    "acceptance": "the fraction of proposals that were accepted",
    "quantity": "what the row is about",
    "widths": "the number of widths in the fit",
    "rate": "the exponent at which it falls with the width, or the exact rate at which it grows in time",
    "factor": "the factor of the fitted power of the width",
    "misfit": "χ² of the fit over its degrees of freedom",
    "exact": "the exact value",
    "rank": "which of the values, from the smallest; of a matrix its rank",
}


def check_one(name: str, runs: Sequence[Run], *keys: str) -> None:
    """Raise InvalidValue where a part sweeps what a study does not tell apart there."""
    for key in keys:
        found = list(dict.fromkeys(getattr(run.model, key) for run in runs))
        if len(found) > 1:
            raise InvalidValue(
                f"{f'parts.{name}.' if name else ''}model.{key} = {found}: the study takes one {key} there"
            )


class Kind(Description):
    """The `[study]` table of a kind of study, and what follows from a result. Each is a subclass, in a file of its own.

    Results are given by part, each as `sweep` would return it; a study of one part has it under the name "". What
    `tables`, `checks` and `pictures` return is all that files of reference data hold of a result, and reports show.
    """

    PARTS: ClassVar[Mapping[str, type[Run]]]
    BRIEF: ClassVar[frozenset[str]] = frozenset()  # tables of which text shows the columns that all studies know
    COLUMNS: ClassVar[Mapping[str, str]] = {}  # what its columns mean, beside those of all studies

    kind: str
    title: str

    def meaning(self, column: str) -> str:
        """What a column of its tables means, in words; empty where nothing says so, as of a user's own averages."""
        own = {**COLUMNS, **self.COLUMNS}
        if column in own:
            return own[column]
        of = own.get(column.removesuffix("_error"))
        return f"standard error of {of}" if of and column.endswith("_error") else ""

    def check_number(self, members: int, depths: int) -> None:
        """Raise InvalidValue where the settings are for another number of runs, or depths; before these are made."""

    def check(self, runs: Mapping[str, Sequence[Run]]) -> None:
        """Raise InvalidValue where the runs of a part are not what the study is about."""

    def tables(self, parts: Parts) -> Tables:
        """Tables by name, the main one first: rows of figures, those that are uncertain with `…_error` beside them."""
        raise NotImplementedError

    def checks(self, parts: Parts, tables: Tables) -> Iterator[Verdict]:
        """What the result is held against: sentences with figures, and whether each holds; None: not known."""
        raise NotImplementedError

    def pictures(self, parts: Parts, tables: Tables) -> dict[str, Picture]:
        """Pictures by name, the main one first."""
        raise NotImplementedError
