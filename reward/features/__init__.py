"""From (item, title) pairs to numbers: fields mentioned, words nothing supports, n-grams, looks."""
