"""Does a title belong to its item, and does it read like a title? Two scores in [0, 1], learned from logged titles."""
