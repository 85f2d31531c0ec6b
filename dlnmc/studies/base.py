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

    kind: str
    title: str

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
