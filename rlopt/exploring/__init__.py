"""What to show next: what is believed of an item's titles, how often each is shown, and what that tells."""
