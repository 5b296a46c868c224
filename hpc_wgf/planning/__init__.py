"""What a run takes before it is started: memory, traffic, time; and one step of one rank of it."""
