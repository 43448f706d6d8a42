"""The methods: one small file per family, all compositions of the four choices."""
