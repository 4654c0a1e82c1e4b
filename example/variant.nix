# One of: healthy, unhealthy, failing-build, failing-evaluation, failing-check, ignores-power-button (README.md).
"healthy"
