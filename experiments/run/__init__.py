"""One run: its settings, its parts, training, evaluation, and what it leaves on the disk."""
