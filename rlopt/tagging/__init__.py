"""Tagger: which words of a title are what, and titles shortened by it."""
