"""Progress of a run: a bar with rate and remaining time, in a terminal or a notebook."""

import sys
import threading
import warnings
from types import TracebackType
from typing import Self

from tqdm import TqdmWarning

with warnings.catch_warnings(action="ignore", category=TqdmWarning):  # a notebook without widgets gets a bar of text
    from tqdm.auto import tqdm


class Progress:
    """Counts work done (interactions of two components, or as long), from any thread; `show` shows it."""

    def __init__(self, total: float, visible: bool, what: str) -> None:
        self._lock = threading.Lock()
        self._new = 0.0
        self._total = total
        self._bar = tqdm(
            total=total,
            disable=not visible,
            desc=what,
            unit=" interactions",
            unit_scale=True,
            smoothing=0.05,
            dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() or "ipykernel" in sys.modules else 10.0,  # a log wants few lines
        )

    def advance(self, work: float) -> None:
        """Count work done; may be called from any thread."""
        with self._lock:
            self._new += work

    def show(self) -> None:
        """Update the bar; called from one thread."""
        with self._lock:
            new, self._new = self._new, 0.0
        self._bar.update(min(new, max(self._total - self._bar.n, 0.0)))  # rounding may not pass the end

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.show()
        self._bar.close()
