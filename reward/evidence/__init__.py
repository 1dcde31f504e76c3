"""How good the reward is on items it has not seen, and what it goes by."""
