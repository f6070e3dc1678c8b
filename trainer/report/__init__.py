"""A finished run, cross-validation, search or folder of baselines in; one page and one JSON file about it out."""
