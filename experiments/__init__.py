"""The command-line programs: train, evaluate, and one per paper."""
