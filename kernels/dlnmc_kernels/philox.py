"""Random numbers as a pure function of (seed, stream, path, step, slot): Philox4x32-10 in lanes.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011). The key is the 64-bit seed; the
128-bit counter is laid out as

    word 0   slot (24 bits), stream (8 bits)
    word 1   path, low 32 bits
    word 2   step, bits 32-47 (16 bits), path, bits 32-47 (16 bits)
    word 3   step, low 32 bits

with the first-named field in the low bits. One counter gives two numbers, so slot s serves components 2s and 2s + 1.
"""

import numpy as np

from dlnmc_kernels.elementary import log, sincos_turns
from dlnmc_kernels.jit import inlined
from dlnmc_kernels.lanes import Lane, float_bits, from_bits, load, splat, sqrt, store

# Streams: what a number is used for. Never renumber them: stored results depend on it.
DYNAMICS, START, METROPOLIS, PILOT, PILOT_METROPOLIS, EXACT = 0, 1, 2, 3, 4, 5
SLOT_BITS, STREAM_BITS, PATH_BITS, STEP_BITS = 24, 8, 48, 48

MULTIPLIER_0, MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL_0, WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
LOW_WORD = np.uint64(0xFFFFFFFF)
ONE_BITS = np.uint64(0x3FF0000000000000)
U12, U16, U24, U32 = np.uint64(12), np.uint64(16), np.uint64(24), np.uint64(32)


@inlined
def philox4x32(c0: Lane, c1: Lane, c2: Lane, c3: Lane, k0: np.uint64, k1: np.uint64) -> tuple[Lane, Lane, Lane, Lane]:
    """Ten rounds on counters and keys of 32-bit words, each held in a uint64 lane (counters) or scalar (key)."""
    for _ in range(10):
        p0 = c0 * MULTIPLIER_0
        p1 = c2 * MULTIPLIER_1
        c0 = (p1 >> U32) ^ c1 ^ k0
        c2 = (p0 >> U32) ^ c3 ^ k1
        c1 = p1 & LOW_WORD
        c3 = p0 & LOW_WORD
        k0 = (k0 + WEYL_0) & LOW_WORD
        k1 = (k1 + WEYL_1) & LOW_WORD
    return c0, c1, c2, c3


@inlined
def random_words(key: np.uint64, stream: int, path: Lane, step: int, slot: int) -> tuple[Lane, Lane]:
    """Two lanes of 64 random bits for each path of the uint64 lane `path`."""
    unsigned_step = np.uint64(step)
    c0 = splat(np.uint64(slot) | (np.uint64(stream) << U24))
    c1 = path & LOW_WORD
    c2 = ((path >> U32) << U16) | (unsigned_step >> U32)
    c3 = splat(unsigned_step & LOW_WORD)
    r0, r1, r2, r3 = philox4x32(c0, c1, c2, c3, key & LOW_WORD, key >> U32)
    return (r0 << U32) | r1, (r2 << U32) | r3


@inlined
def from_zero(bits: Lane) -> Lane:
    """Uniform on the multiples of 2^-52 in [0, 1)."""
    return from_bits((bits >> U12) | ONE_BITS) - 1.0


@inlined
def above_zero(bits: Lane) -> Lane:
    """Uniform on the multiples of 2^-52 in (0, 1]."""
    return 2.0 - from_bits((bits >> U12) | ONE_BITS)


@inlined
def uniform_pair(key: np.uint64, stream: int, path: Lane, step: int, slot: int) -> tuple[Lane, Lane]:
    """Two independent lanes, uniform on (0, 1]."""
    a, b = random_words(key, stream, path, step, slot)
    return above_zero(a), above_zero(b)


@inlined
def radius(bits: Lane) -> Lane:
    """The length of a pair of normals; the largest possible is 8.5."""
    return sqrt(log(above_zero(bits)) * -2.0)


@inlined
def normal_pair(key: np.uint64, stream: int, path: Lane, step: int, slot: int) -> tuple[Lane, Lane]:
    """Two independent lanes of standard normals (Box and Muller 1958)."""
    a, b = random_words(key, stream, path, step, slot)
    sine, cosine = sincos_turns(from_zero(b))
    return radius(a) * cosine, radius(a) * sine


@inlined
def fill_normals(out: Lane, size: int, key: np.uint64, stream: int, path: Lane, step: int) -> None:
    """Standard normals for components 0 ... size − 1 into `out`, shape (at least size rounded up to even, 8).

    Those of `normal_pair`, in three passes: short loops keep processors busier than a long one.
    """
    slots = (size + 1) // 2
    for slot in range(slots):
        a, b = random_words(key, stream, path, step, slot)
        store(out, 2 * slot, from_bits(a))
        store(out, 2 * slot + 1, from_bits(b))
    for slot in range(slots):
        store(out, 2 * slot, radius(float_bits(load(out, 2 * slot))))
    for slot in range(slots):
        length = load(out, 2 * slot)
        sine, cosine = sincos_turns(from_zero(float_bits(load(out, 2 * slot + 1))))
        store(out, 2 * slot, length * cosine)
        store(out, 2 * slot + 1, length * sine)


@inlined
def fill_uniforms(out: Lane, size: int, key: np.uint64, stream: int, path: Lane, step: int) -> None:
    """Uniforms on (0, 1] for components 0 ... size − 1 into `out`, shape (at least size rounded up to even, 8)."""
    for slot in range((size + 1) // 2):
        a, b = uniform_pair(key, stream, path, step, slot)
        store(out, 2 * slot, a)
        store(out, 2 * slot + 1, b)
