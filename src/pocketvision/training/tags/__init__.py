"""How a picture's tags are learned."""
