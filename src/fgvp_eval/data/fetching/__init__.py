"""Getting data: where each file comes from, downloads, archives, what is missing."""
