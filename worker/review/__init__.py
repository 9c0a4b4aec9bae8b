"""What the model is unsure of, put before a person: sentiment.review ▸ desk ▸ sentiment.feedback, which training reads."""
