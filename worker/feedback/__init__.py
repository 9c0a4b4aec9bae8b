"""What people answered, made a file that training reads."""
