"""Views of the results."""
