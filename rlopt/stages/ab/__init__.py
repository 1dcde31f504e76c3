"""``rlopt ab-plan`` and ``rlopt ab-analyze``."""
