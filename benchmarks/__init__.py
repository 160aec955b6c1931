"""Scripts that measure: every number in the documentation comes from one of them."""
