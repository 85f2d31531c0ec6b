"""Where working arrays lie: in one piece, and where no first-level cache takes them for the stack.

AMD's processors look for a line where a hash of eight bits of its address was seen last (Lipp et al. 2020, "Take a
way"), so that two lines of a set with the same hash drive each other out, and cost as much as if they came from the
next level. Pages that follow each other have different hashes; those of the stack, where vectors are put that find no
register, may be anybody's. Elsewhere this does neither good nor harm.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from dlnmc_kernels.jit import overload
from dlnmc_kernels.lanes import WIDTH, Lane, splat, store

PAGE = 4096  # bytes
HASHES = 256
STACK = 5  # pages that the functions below the caller may use
COUNTED = HASHES // 2  # pages that are kept apart from these, the first ones


def stack_address() -> int:
    """An address in the caller's part of the stack."""
    return 0


@intrinsic
def _stack_address(typing_context):  # type: ignore[no-untyped-def]
    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.ptrtoint(cgutils.alloca_once(builder, ir.IntType(64)), ir.IntType(64))

    return types.int64(), generate


@overload(stack_address)
def _stack_address_overload():  # type: ignore[no-untyped-def]
    return lambda: _stack_address()  # type: ignore[call-arg]


@register_jitable
def page_hash(page: int) -> int:
    """The hash of a page, by its number: those of the bits 0 … 7, each with one of the bits 15, 14, 13, 8 … 12."""
    return (page ^ (page >> 15 & 1) ^ (page >> 13 & 2) ^ (page >> 11 & 4) ^ ((page >> 8 & 31) << 3)) & (HASHES - 1)


@register_jitable
def free_place(first: int, count: int, stack: int) -> int:
    """The first page from `first` on where `count` pages have other hashes than those of the stack from `stack` down.

    It is one of the next 2 (count + STACK), or the one after these if they have none: rare for `count` <= COUNTED.
    """
    start, end = first, first + 2 * (count + STACK)
    page = start
    while page < start + count and start < end:
        taken = False
        for below in range(STACK):
            taken = taken or page_hash(page) == page_hash(stack - below)
        page += 1
        if taken:
            start = page
    return min(start, end)


@register_jitable
def workspace(count: int) -> Lane:
    """Zeros (count, 8) that begin on a cache line, apart from the stack."""
    pages = min(count * WIDTH * 8 // PAGE + 2, COUNTED)
    room = 2 * (pages + STACK) + 1
    memory = np.empty(count * WIDTH + room * PAGE // 8)
    begin: Any = memory.ctypes.data
    page = begin // PAGE + 1
    first = (free_place(page, pages, stack_address() // PAGE) * PAGE - begin) // 8
    rows = memory[first : first + count * WIDTH].reshape((count, WIDTH))
    for i in range(count):
        store(rows, i, splat(0.0))
    return rows
