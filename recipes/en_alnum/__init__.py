"""Recipe: the built-in English model of digits, letters and commands."""
