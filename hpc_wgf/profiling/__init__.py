"""Counting and timing: operations, bytes, seconds, and the machine on which they were taken."""
