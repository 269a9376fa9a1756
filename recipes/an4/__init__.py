"""Recipe: CMU AN4, spelled names, addresses, dates and numbers."""
