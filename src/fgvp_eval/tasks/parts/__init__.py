"""Parts of objects: candidates, naming, detection."""
