"""Recipe: LibriSpeech, read books."""
