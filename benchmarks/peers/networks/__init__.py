"""One training step of a model with its recognition network, in each implementation."""
