"""The four choices (objectives, proposals), their composition, and one small file per family."""
