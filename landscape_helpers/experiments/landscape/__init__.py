"""What the experiments on slices, curvature and mining share: checkpoints, the loss around them, tables of slices."""
