"""What networks cost: layer by layer, by the clock of every runtime, and against what the machine can do."""
