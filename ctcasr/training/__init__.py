"""How weights are learned: data order, optimizer, loop, checkpoints, metrics."""
