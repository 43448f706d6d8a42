"""How good a fitted model is: log-likelihoods, the use of latents, annealed bounds."""
