"""Functions that kernels call: alone they are only brought into LLVM's language, machine code is made in the kernels.

Numba optimises every function and makes machine code of it, and then again in all that calls it, into which it is
linked. For functions that only kernels call the first is lost work: without it kernels compile in half the time, and
run as fast.
"""

import functools
from typing import Any

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NativeLowering


class _Part(JITCodeLibrary):
    """Code as Numba writes it. It has no address, and nothing that is asked of what has one."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        return 0

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, name: str, environment: Any) -> None:
        pass


class _Lower(Lower):
    """How functions are written, with a stack that begins on a cache line: else vectors there would lie across two."""

    def post_lower(self) -> None:
        super().post_lower()
        self.function.attributes.alignstack = 64
        if getattr(self.func_ir.func_id.func, "apart", False):
            self.function.attributes.add("noinline")


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerEntry(NativeLowering):
    _name = "entry_lowering"

    @property
    def lowering_class(self) -> Any:
        return _Lower


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerPart(_LowerEntry):
    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        state.flags.no_cpython_wrapper = state.flags.no_cfunc_wrapper = True
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return bool(super().run_pass(state))


class EntryCompiler(CompilerBase):
    """The pipeline of passes for `numba.jit(pipeline_class=...)`, for what is called from Python or by its address."""

    lowering: Any = _LowerEntry

    def define_pipelines(self) -> list[Any]:
        """Numba's own, but for the step that writes the code."""
        pipeline = DefaultPassBuilder.define_nopython_pipeline(self.state)
        pipeline.passes = [(self.lowering if own is NativeLowering else own, why) for own, why in pipeline.passes]
        pipeline.finalize()
        return [pipeline]


class PartCompiler(EntryCompiler):
    """The same for parts, also in the options of overloads."""

    lowering = _LowerPart


class Part(CPUDispatcher):
    """A function of kernels."""

    def __init__(self, function: Any, options: dict[str, Any]) -> None:
        super().__init__(function, targetoptions={"nopython": True, **options}, pipeline_class=PartCompiler)
        self._options = options

    @functools.cached_property
    def alone(self) -> Any:
        """The same function with an address."""
        return numba.njit(self.py_func, **self._options | {"_nrt": True})

    def __call__(self, *arguments: Any) -> Any:
        """Call it from Python, as tests do: only then it is compiled as Numba compiles functions."""
        return self.alone(*arguments)
