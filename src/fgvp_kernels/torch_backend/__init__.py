"""The torch backend: the readable specification, and what runs on a CPU."""
