"""What ails a finished training: findings, each with its evidence and one next step."""
