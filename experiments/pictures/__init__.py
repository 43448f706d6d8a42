"""Pictures as PNG files, drawn from arrays and numbers."""
