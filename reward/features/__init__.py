"""From (item, title) pairs to numbers: fields mentioned, words that nothing of the item states, n-grams, looks."""
