"""Walking trees: down by descriptors, many directories at the same time."""
