"""Recipe: the Free Spoken Digit Dataset, single digits by six men."""
