"""``rlopt tag``: fit a tagger, apply it."""
