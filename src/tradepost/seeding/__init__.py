"""A large, made-up and reproducible marketplace to look at and to test against."""
