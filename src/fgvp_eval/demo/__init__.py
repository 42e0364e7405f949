"""The demo: generated scenes in RefCOCO's layout and two small models trained on such scenes."""
