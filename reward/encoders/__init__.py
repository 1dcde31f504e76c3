"""Pretrained text encoders, and the vectors they give."""
