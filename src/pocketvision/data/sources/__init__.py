"""Sources: the formats that images with their truth are read from. One file a format; catalog.py lists them."""
