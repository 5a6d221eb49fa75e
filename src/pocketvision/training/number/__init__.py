"""How a picture's number is learned."""
