"""The log doctor: what logs can and cannot teach."""
