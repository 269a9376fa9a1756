"""Recipe: TIMIT, phones."""
