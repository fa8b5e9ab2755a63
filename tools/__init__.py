"""What the project is built, set up and tried with."""
