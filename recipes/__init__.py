"""Whole experiments on public corpora: a folder each, from the corpus as downloaded to a table."""
