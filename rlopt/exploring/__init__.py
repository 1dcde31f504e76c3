"""What to show next: beliefs about the titles of an item, who gets which share of the impressions, and what it tells."""
