"""Cross-validation: a data set divided into folds, each of which is tested on once by runs that learned the others."""
