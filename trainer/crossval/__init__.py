"""A prepared data set → folds, a run for each fold and seed, and scores over all of them."""
