"""What can be tried: the search space goes in, the next point to train comes out."""
