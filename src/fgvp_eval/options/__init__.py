"""What a run can be asked for: splits, presets, every option and its bounds."""
