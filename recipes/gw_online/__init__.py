"""Recipe: gw-online, the words of one writer as pen strokes."""
