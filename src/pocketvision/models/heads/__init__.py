"""Heads: what a task adds to a backbone. One file a head, by kind of task; the table is catalog.py."""
