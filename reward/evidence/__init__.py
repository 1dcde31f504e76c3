"""Evidence on the reward: how good it is on unseen items, and which parts of a title it depends on."""
