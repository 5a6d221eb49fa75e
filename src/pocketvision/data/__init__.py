"""Where labelled images come from, and what is found out about them before training. Imports without torch."""
