"""What generate is made of: which title an item gets, and shards that survive an interruption."""
