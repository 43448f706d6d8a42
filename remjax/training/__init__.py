"""Training: steps and epochs, replicas, optimizers, checkpoints."""
