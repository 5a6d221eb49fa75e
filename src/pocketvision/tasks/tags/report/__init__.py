"""Tags in a report: each tag's figures, which go together, and the images that are most wrong."""
