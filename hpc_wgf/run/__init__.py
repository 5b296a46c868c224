"""A run over time: its schedule and layout, the loop, what a store says of it, how it goes on."""
