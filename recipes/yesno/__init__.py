"""Recipe: sixty strings of Hebrew yes and no by one man."""
