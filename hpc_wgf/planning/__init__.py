"""Plans of a run before it is started: memory, communication and time on any number of ranks.

One rank's step of a job may also be executed, with simulated communication. Plans are of PWGF.
"""

PRODUCTS = 20.0
"""Products with Ĝ in a linear solve, where nothing is known of the problem: the runs recorded in
data/runs take 7 to 99."""
