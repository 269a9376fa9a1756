"""Recipe: IAM-OnDB, English lines written on a whiteboard, as pen strokes."""
