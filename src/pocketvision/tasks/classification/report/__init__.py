"""A classifier in a report: its figures, its confusions as pictures, and what to do next."""
