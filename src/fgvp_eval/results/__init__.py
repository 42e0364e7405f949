"""What came out: metrics, intervals, paired tests, tables."""
