"""Reports as pages: one self-contained HTML file each, readable from disk without a network."""
