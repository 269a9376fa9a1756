"""Images of lines: files, normalisation, columns, and how they are varied."""
