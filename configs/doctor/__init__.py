"""An installation → what works in it, and what to type where it does not.

Every package is imported in a process of its own with a time limit: a broken one may end its process, or hang.
"""
