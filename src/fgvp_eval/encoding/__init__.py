"""Prompts drawn and encoded: from masks and boxes to CLIP's features."""
