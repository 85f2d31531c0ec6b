"""Speed of the kernels over commits, for asv."""
