"""A finished cross-validation in; suspected label errors and the least certain tracks out, to be corrected by ear."""
