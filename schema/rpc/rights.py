"""Which role may call what, in one table; what has no row is denied. It checks no credential."""

from schema.interfaces import Role

ADMIN = frozenset({Role.ADMIN})
OPERATORS = ADMIN | {Role.OPERATOR}
READERS = OPERATORS | {Role.VIEWER}
PUBLISHERS = ADMIN | {Role.PUBLISHER}
FOLLOWERS = READERS | {Role.PUBLISHER}
WORKERS = frozenset({Role.WORKER})
ANYBODY = frozenset(Role)

RIGHTS: dict[str, frozenset[Role]] = {
    "Gateway.login": ANYBODY,
    "Gateway.challenge": ANYBODY,
    "Gateway.join": ANYBODY,
    # Control plane.
    "Master.publishState": PUBLISHERS,
    "Master.getAssignment": ADMIN,
    "Master.pushData": ADMIN,
    "Master.getClusterStatus": FOLLOWERS,
    "Master.getWorker": READERS,
    "Master.getVm": READERS,
    "Master.watch": FOLLOWERS,
    "Master.liveClosures": FOLLOWERS,
    "Master.explain": READERS,
    "Master.listGenerations": FOLLOWERS,
    "Master.getGeneration": FOLLOWERS,
    "Master.pauseRollout": OPERATORS,
    "Master.resumeRollout": OPERATORS,
    "Master.promoteRollout": OPERATORS,
    "Master.abortRollout": OPERATORS,
    "Master.hold": OPERATORS,
    "Master.liftHold": OPERATORS,
    "Master.listHolds": READERS,
    "Master.cordonWorker": OPERATORS,
    "Master.drainWorker": OPERATORS,
    "Master.releaseVolume": OPERATORS,
    "Master.listRollouts": FOLLOWERS,
    "Master.listWorkers": READERS,
    "Master.approveWorker": ADMIN,
    "Master.rejectWorker": ADMIN,
    "Master.retireWorker": ADMIN,
    "Master.createJoinToken": ADMIN,
    "Master.createToken": ADMIN,
    "Master.listTokens": ADMIN,
    "Master.revokeToken": ADMIN,
    "Master.listAudit": ADMIN,
    "Master.verifyAudit": ADMIN,
    # One worker's own session.
    "WorkerSession.getAssignment": WORKERS,
    "WorkerSession.pushData": WORKERS,
    "WorkerSession.liveClosures": WORKERS,
    # A machine's agent, through the control plane.
    "Worker.read": READERS,
    "Worker.listVms": READERS,
    "Worker.getVm": READERS,
    "Worker.drain": OPERATORS,
    "Worker.getConfig": OPERATORS,
    "Worker.updateConfig": ADMIN,
    "Worker.shutdown": ADMIN,
    "Worker.deleteVolume": ADMIN,
    # A VM, through the control plane.
    "Vm.read": READERS,
    "Vm.getLogs": READERS,
    "Vm.exec": OPERATORS,
    "Vm.console": OPERATORS,
    "Vm.getConnectionInfo": READERS,
    "Vm.restart": OPERATORS,
    "Console.write": OPERATORS,
    "Console.resize": OPERATORS,
    "Console.close": OPERATORS,
    # Whose sinks are fed: what a caller hands over to be called itself.
    "EventSink.event": FOLLOWERS,
    "EventSink.resync": FOLLOWERS,
    "LogSink.write": READERS,
}

INCLUDES: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.PUBLISHER: frozenset({Role.PUBLISHER}),
    Role.OPERATOR: frozenset({Role.OPERATOR, Role.VIEWER}),
    Role.ADMIN: frozenset({Role.ADMIN, Role.OPERATOR, Role.PUBLISHER, Role.VIEWER}),
    Role.WORKER: frozenset({Role.WORKER}),
}
"""The roles that somebody who was granted one may log in with."""


def allows(role: Role, method: str) -> bool:
    """Whether `role` may call `Interface.method`."""
    return role in RIGHTS.get(method, frozenset())
