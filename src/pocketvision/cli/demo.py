"""`pocketvision demo`."""


def demo() -> None:
    raise NotImplementedError
