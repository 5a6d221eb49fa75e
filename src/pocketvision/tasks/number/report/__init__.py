"""A number in a report: answered against true, its errors, and the images that are furthest off."""
