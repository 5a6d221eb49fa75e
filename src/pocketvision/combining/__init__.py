"""One network of several: ensembles and averaged weights."""
