"""More machines that copy: what they are told, what they answer, and who sees to it."""
