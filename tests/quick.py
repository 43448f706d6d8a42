"""Compilation without optimisation: what a test runs but a few times costs mostly the compiler."""

import functools

import jax

quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
