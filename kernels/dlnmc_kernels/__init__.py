"""The ground floor of dlnmc: compiled kernels. Numbers in, numbers out.

Nothing here knows of models as a user sees them, of labels, files or progress; it imports only Numba and NumPy.
Arrays of paths have the shape `(block, component, 8)`: eight independent paths share one SIMD register (`lanes`).

    lanes, elementary   a register of eight numbers, and log, exp, sincos on it
    philox              random numbers as a pure function of (seed, stream, path, step, slot)
    dispatch            functions chosen at compile time by the type of their first argument
    energies            potentials v of the energy E = sum of v
    dyson, singular_values   one file per state: parameters, drift, noise
    schemes             one step of each integration scheme, written once for all models
    ordering            sorting in lanes
    observables         integer counts and per-path sums
    driver              the loop over a chunk of paths
    jit                 the only place that states compile flags and where compiled code is kept
    parts, cache        functions that kernels call, compiled once less; compiled kernels on disk
"""
