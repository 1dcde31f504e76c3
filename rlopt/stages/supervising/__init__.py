"""What sft is made of: what it learns from, and the policy it begins with."""
