"""Who writes titles: prompts and slots, the embedded tiny model, any causal language model, and constraints."""
