"""The work on chunks, as it is handed to threads, processes and clusters."""

import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dlnmc.chunks import Arrays, Chunk, Member, prepared_call, run_chunk, state_form
from dlnmc.errors import RunFailed
from dlnmc.executors.pool import Advanced
from dlnmc.store import ChunkStore, differences, facts


class ChunkWork:
    """Compute chunks of a run; with a store, from the states that are kept there, and with new ones kept on the way.

    Results for a store hold where paths ended, from which a longer run may go on.
    """

    def __init__(self, members: Sequence[Member], store: ChunkStore | None) -> None:
        self.members = tuple(members)
        self.store = None if store is None else store.absolute()  # workers of a cluster work elsewhere
        self._facts = facts()
        self._here: bool | None = None  # whether this process sees the store; asked once

    def __getstate__(self) -> dict[str, Any]:
        """Another process asks anew."""
        return self.__dict__ | {"_here": None}

    def __call__(self, chunk: Chunk, stopped: Callable[[], bool], advanced: Advanced) -> Arrays | None:
        """The arrays of a chunk; None where it was stopped. Raises RunFailed where other bits would be computed."""
        if differing := differences(facts(), self._facts):
            raise RunFailed(
                f"the worker on {socket.gethostname()} would compute other bits: {'; '.join(differing)}; take workers "
                "that are all alike, or the same NUMBA_CPU_NAME for all"
            )
        member, store, begun, keep = self.members[chunk.member], self.store, None, None
        if self._here is None:
            self._here = store is not None and store.is_here()
        if store is not None and self._here:
            begun, keep = store.load_state(chunk, partial(state_form, member, chunk)), partial(store.save_state, chunk)
        return run_chunk(member, chunk, stopped, advanced, begun, keep, store is not None)

    def warm(self) -> None:
        """Compile the kernels of all members, or load them: calls of no steps."""
        seen: set[Any] = set()
        for index, member in enumerate(self.members):
            run = member.run
            kind = (type(run.model), run.model.energy.kind, run.coordinates, run.scheme, run.state)
            if kind not in seen or member.observables:
                seen.add(kind)
                call, _, _ = prepared_call(member, Chunk(index, 0, 1))
                call(0, 0)
