"""Readers of what recordings come with: one module per family of formats.

Each reader takes a `Collector`, adds the items it finds, and leaves out by name what it cannot use.
`ctcasr.manifest.importing` chooses the reader.
"""
