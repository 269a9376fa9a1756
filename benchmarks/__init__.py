"""What is measured: speed, with the machine named."""
