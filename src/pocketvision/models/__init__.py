"""The efficient architectures: their papers' tables as rows, one network class, and where weights come from."""
