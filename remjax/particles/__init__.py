"""Weighted particles: weights, moments, and the E-step that streams them."""
