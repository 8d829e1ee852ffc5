"""Every statement about items, a module for each noun: the items, the tag links on them, and their views."""
