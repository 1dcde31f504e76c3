"""What offline-eval is made of: who is judged, on which items, by what, and how it is told."""
