"""Benchmarks: ways to compute the same are timed in turn, in rounds A B A B … of one run."""
