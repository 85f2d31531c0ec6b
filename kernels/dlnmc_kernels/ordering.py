"""Accepting a step, and keeping components in ascending order, in lanes.

Every step ends with components in order: those that crossed change places, by passes over the rows. The law of the
process does not depend on labels, and ordered components make crossings countable, pairs cheap and observables too.
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
def keep_finite(x: Lane, proposal: Lane, tally: Lane, n: int) -> Lane:
    """The mask of paths that go on: with a finite proposal, and not failed. For others x is put into the proposal.

    For those that fail the step `n` is noted. Absent paths, which fill up the last block, go on as if they were there:
    what a path does never depends on how many there are.
    """
    even, odd = splat(0.0), splat(0.0)
    for i in range(0, len(proposal) - 1, 2):
        even = even + load(proposal, i) * 0.0
        odd = odd + load(proposal, i + 1) * 0.0
    finite = even + odd + load(proposal, len(proposal) - 1) * 0.0
    status = load(tally, STATUS)
    alive = status == ALIVE
    keep = (finite == 0.0) & (alive | (status == ABSENT))
    if any_of(~keep):
        store(tally, STATUS, select(alive & ~keep, splat(float(n)), status))
        for i in range(len(proposal)):
            store(proposal, i, select(keep, load(proposal, i), load(x, i)))
    return keep


@settle.otherwise
@device
def accept(model: Any, x: Lane, proposal: Lane, dt: float, tally: Lane, n: int) -> None:
    """Move `x` to `proposal` where that is finite; where it is not, freeze the path and note the step `n`."""
    keep, zero = keep_finite(x, proposal, tally, n), splat(0.0)
    sign_changes, exchanges, tamed, unsorted = put_in_place(model, proposal, x, dt)
    while any_of(unsorted):
        _, more, tamed, unsorted = put_in_place(model, x, x, dt)
        exchanges = exchanges + more
    store(tally, CROSSINGS, load(tally, CROSSINGS) + select(keep, exchanges, zero))
    store(tally, SIGN_CHANGES, load(tally, SIGN_CHANGES) + sign_changes)
    store(tally, TAMED, load(tally, TAMED) + select(keep, tamed, zero))


@device
def put_in_place(model: Any, rows: Lane, x: Lane, dt: float) -> tuple[Lane, Lane, Lane, Lane]:
    """Move `x` to `rows`, which may be the same, letting each row change places with the largest before it if larger.

    Rows are in order then if none has passed more than one other on its way down.

    Returns
    -------
    tuple
        How many changed their signs, how many their places, how many neighbours are closer than the distance at which
        taming sets in, and the mask of paths that are not in order.
    """
    zero, one = splat(0.0), splat(1.0)
    largest = load(rows, 0)
    sign_changes = select(largest * load(x, 0) < 0.0, one, zero)
    before, exchanges, tamed, unsorted = largest, zero, zero, ~(zero == zero)
    for i in range(1, len(x)):
        new = load(rows, i)
        sign_changes = sign_changes + select(new * load(x, i) < 0.0, one, zero)
        descends = rank_key(model, largest) > rank_key(model, new)
        exchanges = exchanges + select(descends, one, zero)
        placed, largest = select(descends, new, largest), select(descends, largest, new)
        if i > 1:
            tamed = tamed + select(too_close(model, before, placed, dt), one, zero)
            unsorted = unsorted | (rank_key(model, before) > rank_key(model, placed))
        store(x, i - 1, placed)
        before = placed
    store(x, len(x) - 1, largest)
    if len(x) > 1:
        tamed = tamed + select(too_close(model, before, largest, dt), one, zero)
    return sign_changes, exchanges, tamed, unsorted


def settle_rows(model: Any, x: Lane, proposal: Lane, dt: float, tally: Lane, n: int) -> None:
    """`settle` for states whose rows are no components: they have no order, and nothing to count."""
    keep_finite(x, proposal, tally, n)
    for i in range(len(x)):
        store(x, i, load(proposal, i))


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
def sort_together(model: Any, rows: Lane, others: Any) -> Lane:
    """Put the components of `rows` in the model's order, and move those of the arrays `others` along with them.

    There must be one other at least. The result counts the exchanges of every path.
    """
    exchanges = splat(0.0)
    unsorted = True
    while unsorted:
        unsorted = False
        for parity in range(2):
            for i in range(parity, len(rows) - 1, 2):
                descends = rank_key(model, load(rows, i)) > rank_key(model, load(rows, i + 1))
                if any_of(descends):
                    unsorted = True
                    exchanges = exchanges + select(descends, splat(1.0), splat(0.0))
                    exchange(rows, i, descends)
                    for other in others:
                        exchange(other, i, descends)
    return exchanges
