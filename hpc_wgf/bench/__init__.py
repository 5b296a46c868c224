"""Benchmarks: every figure is a ratio of two times taken in turn in the same run."""
