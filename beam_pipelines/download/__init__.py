"""A data set's name → its files on local disk: resumed downloads, checked sums, safe extraction."""
