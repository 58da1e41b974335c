"""What a development stack is filled with: organisations, people, activities and attachments, none of them real."""
