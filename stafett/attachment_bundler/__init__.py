"""The report and the activities' attachments as one ZIP file with a manifest."""
