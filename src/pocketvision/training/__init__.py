"""Training: two-stage transfer learning on cached trunk activations. Returns values or raises; prints nothing."""
