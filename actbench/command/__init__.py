"""What was typed: its words, what is wrong with them, what was meant, and the jobs that it asks for; help."""
