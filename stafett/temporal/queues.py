"""Names of the task queues, all derived from the first one, so that no setting reaches a workflow."""


def cpu_queue(task_queue: str) -> str:
    """Return the task queue of the CPU-bound activities."""
    return f"{task_queue}-cpu"


def query_queue(task_queue: str) -> str:
    """Return the task queue of queries, so that only a few of them run ahead of the exports that are being rendered."""
    return f"{task_queue}-queries"


def outcome_queue(task_queue: str) -> str:
    """Return the task queue of the activities that end a job, so that no ending and no cancel waits behind work."""
    return f"{task_queue}-outcomes"


def preview_queue(task_queue: str) -> str:
    """Return the task queue of previews, which is separate so that many of them take no slots from jobs."""
    return f"{task_queue}-previews"


def maintenance_queue(task_queue: str) -> str:
    """Return the task queue of reconciliation, retention and checkpoints, so that they never wait behind jobs."""
    return f"{task_queue}-maintenance"


def notification_queue(task_queue: str) -> str:
    """Return the task queue of deliveries, which is separate so that slow receivers take no slots from jobs."""
    return f"{task_queue}-notifications"
