"""Expected gradients of the estimators of bits, by summing over everything that can be drawn."""
