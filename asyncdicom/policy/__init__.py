"""Decisions as pure functions and tables: what to retry, when to stop, what to ask for."""
