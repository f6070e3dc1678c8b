"""What is below a folder: runs, searches, cross-validations and prepared data sets."""
