"""From features and texts to scores: ensembles, relations, subtraction."""
