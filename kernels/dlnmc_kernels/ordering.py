"""Accepting a step, and keeping components in ascending order, in lanes.

Every step ends with one odd-even transposition pass: components that crossed change places. The law of the process does
not depend on labels, and ordered components make crossings countable and observables cheap.
"""

from typing import Any

from dlnmc_kernels.dispatch import rank_key, settle, too_close
from dlnmc_kernels.jit import device
from dlnmc_kernels.lanes import Lane, any_of, load, select, splat, store

# Rows of a block's tally, shape (TALLY, 8), float64.
TAMED, SIGN_CHANGES, CROSSINGS, STATUS, ACCEPTED = 0, 1, 2, 3, 4
TALLY = 5
ALIVE, ABSENT = -1.0, -2.0  # values of STATUS; else the step at which the path became non-finite


@device
def keep_finite(proposal: Lane, tally: Lane, n: int) -> Lane:
    """The mask of paths that go on: alive, and with a finite proposal. For those that fail the step `n` is noted."""
    finite = splat(0.0)
    for i in range(len(proposal)):
        finite = finite + load(proposal, i) * 0.0
    alive = load(tally, STATUS) == ALIVE
    keep = (finite == 0.0) & alive
    if any_of(alive & ~keep):
        store(tally, STATUS, select(alive & ~keep, splat(float(n)), load(tally, STATUS)))
    return keep


@settle.otherwise
@device
def accept(model: Any, x: Lane, proposal: Lane, dt: float, tally: Lane, n: int) -> None:
    """Move `x` to `proposal` where that is finite; where it is not, freeze the path and note the step `n`."""
    zero, one = splat(0.0), splat(1.0)
    keep = keep_finite(proposal, tally, n)
    sign_changes = zero
    for i in range(len(x)):
        old = load(x, i)
        new = select(keep, load(proposal, i), old)
        sign_changes = sign_changes + select(new * old < 0.0, one, zero)
        store(x, i, new)
    tamed, crossings = zero, zero
    for parity in range(2):
        for i in range(parity, len(x) - 1, 2):
            a, b = load(x, i), load(x, i + 1)
            crossed = (rank_key(model, a) > rank_key(model, b)) & keep
            exchange(x, i, crossed)
            crossings = crossings + select(crossed, one, zero)
            tamed = tamed + select(too_close(model, a, b, dt) & keep, one, zero)
    store(tally, SIGN_CHANGES, load(tally, SIGN_CHANGES) + sign_changes)
    store(tally, CROSSINGS, load(tally, CROSSINGS) + crossings)
    store(tally, TAMED, load(tally, TAMED) + tamed)


def settle_rows(model: Any, x: Lane, proposal: Lane, dt: float, tally: Lane, n: int) -> None:
    """`settle` for states whose rows are no components: they have no order, and nothing to count."""
    keep = keep_finite(proposal, tally, n)
    for i in range(len(x)):
        store(x, i, select(keep, load(proposal, i), load(x, i)))


@device
def exchange(rows: Lane, i: int, where: Any) -> None:
    """Let rows i and i + 1 change places in the paths `where`."""
    a, b = load(rows, i), load(rows, i + 1)
    store(rows, i, select(where, b, a))
    store(rows, i + 1, select(where, a, b))


@device
def sort(rows: Lane) -> None:
    """Sort the components of every path in ascending order: odd-even passes, few where the rows are nearly sorted.

    What is no number stays, and so does what it stands between.
    """
    unsorted = True
    while unsorted:
        unsorted = False
        for parity in range(2):
            for i in range(parity, len(rows) - 1, 2):
                descends = load(rows, i) > load(rows, i + 1)
                if any_of(descends):
                    unsorted = True
                    exchange(rows, i, descends)


@device
def sort_together(model: Any, rows: Lane, others: Lane) -> None:
    """Put the components of `rows` in the model's order, and move those of `others` along with them."""
    unsorted = True
    while unsorted:
        unsorted = False
        for parity in range(2):
            for i in range(parity, len(rows) - 1, 2):
                descends = rank_key(model, load(rows, i)) > rank_key(model, load(rows, i + 1))
                if any_of(descends):
                    unsorted = True
                    exchange(rows, i, descends)
                    exchange(others, i, descends)
