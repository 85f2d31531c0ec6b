"""Where the driver's arrays lie: zeros, on cache lines, and with other hashes than those of the stack."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_tools import sized

from dlnmc_kernels.jit import JIT_DISABLED, kernel
from dlnmc_kernels.lanes import WIDTH
from dlnmc_kernels.workspace import COUNTED, PAGE, STACK, free_place, page_hash, stack_address, workspace

PAIRS = [(12, 27), (13, 26), (14, 25), (15, 20), (16, 21), (17, 22), (18, 23), (19, 24)]  # bits of an address


@kernel
def in_a_kernel(count):
    return workspace(count), stack_address()


def hash_of(address):
    """The hash of Lipp et al. (2020, figure 3), bit by bit."""
    return sum(((address >> low ^ address >> high) & 1) << i for i, (low, high) in enumerate(PAIRS))


@settings(deadline=None, max_examples=sized(300, 100))
@given(address=st.integers(0, 2**47 - 1))
def test_the_hash_is_that_of_the_processor(address):
    assert page_hash(address // PAGE) == hash_of(address)


@settings(deadline=None, max_examples=sized(300, 100))
@given(first=st.integers(0, 2**35), count=st.integers(1, COUNTED), apart=st.integers(-600, 600) | st.integers(0, 2**35))
@example(first=31467038471, count=128, apart=24383715328 - 31467038471)  # where none is free
@example(first=17179914230, count=3, apart=17179927453 - 17179914230)
def test_a_place_apart_from_the_stack_is_found_if_there_is_one(first, count, apart):
    stack = max(first + apart, STACK)
    place, end = free_place(first, count, stack), first + 2 * (count + STACK)
    taken = {hash_of((stack - below) * PAGE) for below in range(STACK)}
    free = [not taken & {hash_of(page * PAGE) for page in range(at, at + count)} for at in range(first, end)]
    assert place == (first + free.index(True) if True in free else end)


@pytest.mark.parametrize("count", [1, 7, 64, 1000, 4000, 20000])
def test_the_workspace_holds_zeros_on_cache_lines_apart_from_the_stack(count):
    rows, stack = in_a_kernel(count)
    assert rows.shape == (count, WIDTH)
    assert not rows.any()
    begin = rows.ctypes.data
    assert begin % 64 == 0
    if not JIT_DISABLED:  # there is a place in all but one of thousands of processes
        pages = range(begin // PAGE, min((begin + rows.nbytes - 1) // PAGE + 1, begin // PAGE + COUNTED))
        taken = {hash_of(stack - below * PAGE) for below in range(STACK)}
        assert not taken & {hash_of(page * PAGE) for page in pages}


def test_workspaces_are_their_own():
    one, _ = in_a_kernel(100)
    other, _ = in_a_kernel(100)
    one[...] = 1.0
    assert not other.any()
    assert not np.shares_memory(one, other)
