"""Gibbs sweeps, learning and log Z of a restricted Boltzmann machine, in each implementation."""
