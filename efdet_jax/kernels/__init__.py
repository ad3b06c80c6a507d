"""Loops in C++ for what XLA does slowly on CPU; every one has a pure-JAX twin.

`source/` is compiled on the machine that runs it, once, by the first program that
needs it; `library` does that. Where there is no compiler, training is slower and all
else is the same.
"""
