"""What a task brings to a report, and what its charts, figures and pictures share."""
