"""Chat and embedding models: a catalogue of vendors as data, and one file per vendor that opens its models."""
