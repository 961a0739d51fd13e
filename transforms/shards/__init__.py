"""Mined rows fetch their texts and become sorted shards."""
