"""Facts, sent as signed HTTP requests to addresses that people gave."""
