"""What people and their programs are told of, and by which ways."""
