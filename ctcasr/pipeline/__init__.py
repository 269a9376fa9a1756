"""One module per verb: what the command line and the recipes call."""
