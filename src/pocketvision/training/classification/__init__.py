"""How a picture's class is learned."""
