"""What export is made of: what a smaller policy learns from, and how it is measured."""
