"""A kind of task that lives in the tests and proves the seam: bright spots, zero to many points with scores in a picture.

What it is is said here and nowhere else: folders and rows, found through entry points as those of an installed package.
"""
