"""Request bodies: strict JSON, forms, and uploads that are read while they arrive."""
