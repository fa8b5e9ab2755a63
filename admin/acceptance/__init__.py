"""What no emulator can tell, tried in the user's own account, and removed again."""
