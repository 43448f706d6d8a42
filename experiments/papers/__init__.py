"""The protocols of the papers as data, the sweep over their runs, and the report."""
