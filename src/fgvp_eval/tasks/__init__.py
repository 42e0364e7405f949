"""What is asked of an image: sentences, or the parts of its objects."""
