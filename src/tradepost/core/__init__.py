"""What every domain stands on; knows neither FastAPI nor a word of the marketplace."""
