"""Measurements: what it costs, and what it is worth."""
