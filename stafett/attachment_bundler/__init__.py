"""The report and the activities' attachments as one ZIP file with a manifest."""

from stafett.attachment_bundler.stage import AttachmentBundler

__all__ = ["AttachmentBundler"]
