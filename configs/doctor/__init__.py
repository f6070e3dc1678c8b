"""An installation → what works in it, and what to type where it does not.

Packages are imported in child processes with a time limit: a broken one may end its process, or hang.
"""
