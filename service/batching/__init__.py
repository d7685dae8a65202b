"""Grouping calls into runs; knows neither HTTP nor arrays."""
