"""What finds personal data in a text: rules, name lists, models."""
