"""Recordings: files, spectra, loudness, and how they are varied."""
