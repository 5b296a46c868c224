"""What a run takes before it is started: memory, communication, time; and one step of one rank of
it."""

PRODUCTS = 20.0
"""Of a solve, where nothing is known of the problem: the runs recorded under data/runs take 7 to
99."""
