"""Settings of the installation that a command works on: a development stack, or the environment's."""

from pathlib import Path

from stafett.settings import DatabaseSettings, S3Settings, Settings


def load_settings(data_dir: Path | None) -> Settings:
    if data_dir is None:
        return Settings.load()
    from stafett.devstack.audit_key import DevAuditKey
    from stafett.devstack.stack_file import load_stack_file

    stack = load_stack_file(data_dir)
    s3 = {"endpoint": stack.s3_endpoint, "access_key": stack.s3_access_key, "secret_key": stack.s3_secret_key}
    database = {"owner_url": stack.database_url, "maintenance_url": stack.database_url}
    return Settings.model_construct(  # reads no environment, which may describe another installation
        database=DatabaseSettings.model_validate(database),
        s3=S3Settings.model_validate({**s3, "bucket": stack.s3_bucket}),
        audit=DevAuditKey(data_dir).audit_settings(),
    )
