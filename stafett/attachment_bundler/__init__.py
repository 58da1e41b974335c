"""The report and the activities' attachments as one ZIP file with a manifest."""

from stafett.exports.stages.bundle_attachments import AttachmentBundler

__all__ = ["AttachmentBundler"]
