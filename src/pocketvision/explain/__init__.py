"""Why a model answers as it does: where it looks, what it resembles, what its layers hold."""
