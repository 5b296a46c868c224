"""Methods: each advances a state by one step on a problem. `base` says what a method is."""
