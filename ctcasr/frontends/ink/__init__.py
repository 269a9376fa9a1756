"""Pen strokes: files, normalisation, features, and how they are varied."""
