"""Policies that write titles: prompts and slots, the embedded tiny model, any causal language model, constraints."""
