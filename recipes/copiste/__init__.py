"""Recipe: Copiste d'un jour, French handwriting of today, as images of lines."""
