"""Normalisation, filters, languages."""
