"""Generated data for development stacks: organisations, users, activities and attachments, none of them real."""
