"""What a run takes before it is started: memory, communication, time; and one step of one rank of
it."""
