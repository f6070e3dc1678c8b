"""A prepared data set → a page of pictures, tables and examples."""
