=== no good sync for eight minutes warns, for fifteen it is critical, one good one ends it
09:00:00 backend !sync a 50,743.40
09:20:00 backend !sync a 50,743.40
expect
09:08:00.003 PortfolioSyncStale firing warning value=480 source=backend
09:15:00.003 PortfolioSyncStale firing critical value=900
09:20:00.003 PortfolioSyncStale resolved critical
tocsin_alert_firing{alert="PortfolioSyncStale",severity="critical"} 0

=== a gap of 370 s is healthy
09:00:00..09:30:00/370s backend !sync b 1.00 1.00
syncs ok=5

=== without any sync the age counts from the first line
09:00:00..09:16:00/5s backend: INFO <cache> Portfolio summary fetched in 0.011s: 18 balances, 17 with USD values
expect
09:08:00 PortfolioSyncStale firing warning value=480
09:15:00 PortfolioSyncStale firing critical value=900

=== the age counts from --since if that is earlier than the first line
since 09:00:00
09:05:00..09:09:00/60s backend: INFO app.x: hello
expect
09:08:00 PortfolioSyncStale firing warning

=== what is before --since is dropped
since 09:00:30
09:00:00 backend !sync a 1.00
09:00:40 backend !sync a 2.00
until 09:08:20
syncs ok=1

=== what is after --until is dropped, and the clock runs on to it
09:00:00 backend !sync a 1.00
09:30:00 backend !sync a 2.00
until 09:10:00
expect
09:08:00.003 PortfolioSyncStale firing warning
syncs ok=1

=== --until may be a span after the last line
09:00:00 backend !sync a 1.00
until +8.1m
expect
09:08:00.003 PortfolioSyncStale firing warning

=== without --until the clock stops at the last line
09:00:00 backend !sync a 1.00
syncs ok=1

=== a source is moved on by the others' entries
09:00:00 backend !sync a 1.00
09:00:00..09:09:00/30s proxy: INFO:     198.51.100.7:4000 - "GET /health HTTP/1.1" 200 OK
expect
09:08:00.003 PortfolioSyncStale firing warning

=== a source that is given no input has no staleness
09:00:00..09:30:00/30s proxy: INFO:     198.51.100.7:4000 - "GET /health HTTP/1.1" 200 OK
until +1h

=== a source whose first line comes late starts there
09:00:00..09:12:00/30s proxy: INFO:     198.51.100.7:4000 - "GET /health HTTP/1.1" 200 OK
09:10:00 backend: INFO app.x: hello
until 09:18:30
expect
09:18:00 PortfolioSyncStale firing warning

=== a start of the backend gives the warning two minutes of grace
09:00:00 backend !sync a 1.00
09:07:30 backend: [2026-03-14 09:07:30 +0000] [1] [INFO] Starting gunicorn 21.2.0
until 09:20:00
expect
09:09:30 PortfolioSyncStale firing warning value=570
09:15:00.003 PortfolioSyncStale firing critical
backend_starts_total 1

=== starts again and again never delay the critical level
09:00:00 backend !sync a 1.00
09:01:00..09:16:00/60s backend: [2026-03-14 09:07:30 +0000] [1] [INFO] Starting gunicorn 21.2.0
expect
09:15:00.003 PortfolioSyncStale firing critical value=900

=== a start delays a warning, it never ends one
09:00:00 backend !sync a 1.00
09:09:00 backend: [2026-03-14 09:09:00 +0000] [1] [INFO] Starting gunicorn 21.2.0
09:10:00 backend !sync a 1.00
expect
09:08:00.003 PortfolioSyncStale firing warning
09:10:00.003 PortfolioSyncStale resolved warning

=== the reboot of a worker is no start
09:00:00 backend: [2026-03-14 09:00:00 +0000] [1] [INFO] Starting gunicorn 21.2.0
09:00:01 backend: [2026-03-14 09:00:01 +0000] [8] [INFO] Booting worker with pid: 8
09:00:02 backend: INFO:     Started server process [8]
09:05:00 backend: [2026-03-14 09:05:00 +0000] [1] [CRITICAL] WORKER TIMEOUT (pid:8)
09:05:01 backend: [2026-03-14 09:05:01 +0000] [9] [INFO] Booting worker with pid: 9
09:05:02 backend: INFO:     Started server process [9]
backend_starts_total 1

=== in gunicorn's log format a started server process is a worker's
09:00:00 backend: [2026-03-14 09:00:00 +0000] [8] [INFO] Started server process [8]
backend_starts_total 0

=== uvicorn's own start counts where no parent was seen, under a parent its workers do not
09:00:00 backend: INFO:     Started server process [1]
09:01:00 backend: INFO:     Started parent process [1]
09:01:01 backend: INFO:     Started server process [8]
09:01:01 backend: INFO:     Started server process [9]
backend_starts_total 2

=== failed and empty syncs do not refresh the age
09:00:00 backend !sync a 1.00
09:03:00 backend !sync failed
09:06:00 backend !sync empty
until 09:08:01
expect
09:06:00.003 PortfolioEmpty firing warning
09:08:00.003 PortfolioSyncStale firing warning

=== a refresh that hangs is stale by age
09:00:00 backend !sync a 1.00
09:01:05 backend: INFO <cache> Starting portfolio cache update
09:01:10..09:09:00/10s backend: INFO <sync> get-trigger-orders returned 40101, trying private/advanced/get-open-orders fallback
expect
09:08:00.003 PortfolioSyncStale firing warning

=== the backward step of Docker's clock stands until the entries pass it
09:00:00 backend !sync a 1.00
step -20m
09:00:10..09:19:00/60s backend: INFO app.x: hello
expect

=== a forward step of Docker's clock cannot be told from silence
09:00:00 backend !sync a 1.00
step +1h
09:00:30 backend: INFO app.x: hello
expect
09:08:00.003 PortfolioSyncStale firing warning
09:15:00.003 PortfolioSyncStale firing critical
