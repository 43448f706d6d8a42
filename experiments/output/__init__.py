"""What every command writes: files that are whole or absent, and tables."""
