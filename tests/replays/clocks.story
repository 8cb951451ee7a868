=== a forward step of the wall clock makes no silence in the journal
export-only
09:00:00 proxy !request private/a 401 40101
09:00:20 proxy !request private/a 401 40101
step +2h
09:00:40 proxy !request private/a 401 40101
09:01:00 proxy !request private/a 200 0
09:02:00 proxy !request private/a 200 0
09:03:01 proxy !request private/a 200 0
expect
11:00:40.003 ExchangeAuthFailing firing critical value=3
11:03:00.003 ExchangeAuthFailing resolved critical

=== a backward step of the wall clock hides no silence in the journal
export-only
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
step -1h
09:02:00 proxy !request private/a 429 42901
09:10:01 proxy !request private/a 200 0
expect
08:02:00.003 ExchangeRateLimited firing warning
08:10:00.003 ExchangeRateLimited resolved warning

=== after a backward step the last line of the journal is the end, not the latest
export-only
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
step -1h
09:02:00 proxy !request private/a 429 42901
expect
08:02:00.003 ExchangeRateLimited firing warning

=== --until counts from the last line also after a backward step
export-only
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
step -1h
09:02:00 proxy !request private/a 429 42901
until +8.1m
expect
08:02:00.003 ExchangeRateLimited firing warning
08:10:00.003 ExchangeRateLimited resolved warning

=== a block in which the wall clock steps is no longer than it was
export-only
09:00:00 proxy !open private/a
step +1h
09:00:05 proxy: <diag> response_status=401
09:00:05.1 proxy: <diag> response_body={
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
requests auth_failed=1

=== a backward step does not lengthen the time of a block
export-only
09:00:00 proxy !open private/a
step -1h
09:01:00 proxy: <diag> response_status=502
09:02:10 proxy: <diag> response_body={
|   "code": 40101
| }
requests unknown=1

=== both clocks of a host step forward: the backend is stale, the journal is not silent
export-only
09:00:00 backend !sync a 1.00
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
step +1h
09:02:00 backend: INFO app.x: hello
09:02:00 proxy !request private/a 429 42901
expect
09:08:00.003 PortfolioSyncStale firing warning
09:15:00.003 PortfolioSyncStale firing critical
10:02:00.003 ExchangeRateLimited firing warning

=== the time between two boots is what the wall clock says
export-only
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
boot 09:03:00
09:03:10 proxy !request private/a 429 42901
09:11:01 proxy !request private/a 200 0
expect
09:03:10.003 ExchangeRateLimited firing warning
09:10:00.003 ExchangeRateLimited resolved warning

=== what is due at an entry's time happens before the entry
09:00:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $1.00
09:08:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $1.00
expect
09:08:00 PortfolioSyncStale firing warning
09:08:00 PortfolioSyncStale resolved warning

=== a deadline of one source comes before an entry of another at the same time
09:00:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $1.00
09:07:00 proxy !request private/a 401 40101
09:07:10 proxy !request private/a 401 40101
09:07:59 proxy: <diag> === PROXY REQUEST START ===
09:07:59.1 proxy: <diag> method=private/a
09:07:59.2 proxy: <diag> response_status=401
09:07:59.3 proxy: <diag> response_body={ "code": 40101 }
09:08:00 proxy: <diag> === PROXY REQUEST END ===
expect
09:08:00 PortfolioSyncStale firing warning
09:08:00 ExchangeAuthFailing firing critical

=== at equal times the source that stands first in the configuration goes first
09:00:00 backend !sync a 1.00
09:01:00..09:02:00/60s backend: ERROR <cache> No balance data received from Crypto.com
09:03:00 backend: ERROR <cache> No balance data received from Crypto.com
09:01:00..09:02:00/60s proxy !request private/a 401 40101
09:02:59 proxy: <diag> === PROXY REQUEST START ===
09:02:59.1 proxy: <diag> method=private/a
09:02:59.2 proxy: <diag> response_status=401
09:02:59.3 proxy: <diag> response_body={ "code": 40101 }
09:03:00 proxy: <diag> === PROXY REQUEST END ===
expect
09:03:00 ExchangeAuthFailing firing critical
09:03:00 PortfolioSyncFailing firing warning by=ExchangeAuthFailing

=== a hold that ends at an entry's time ends before the entry
09:00:00..09:00:20/10s proxy !request private/a 401 40101
09:01:00 proxy !request private/a 200 0
09:01:10..09:02:00/10s proxy: INFO:     198.51.100.7:4000 - "GET /health HTTP/1.1" 200 OK
09:02:59.997 proxy: <diag> === PROXY REQUEST START ===
until 09:03:01
expect
09:00:20.003 ExchangeAuthFailing firing critical
09:03:00.003 ExchangeAuthFailing resolved critical

=== a second gap within the hold lengthens the incident
09:00:00 journald: Suppressed 10 messages from crypto-proxy.service
09:06:00 journald: Suppressed 20 messages from crypto-proxy.service
until 09:20:00
expect
09:00:00 LogGap firing warning
09:16:00 LogGap resolved warning
tocsin_log_gaps_total{source="crypto-proxy"} 2
tocsin_log_gap_lines_total{source="crypto-proxy"} 30

=== a gap of the proxy is none of the backend's age
09:00:00 backend !sync a 1.00
09:05:00 journald: Suppressed 10 messages from crypto-proxy.service
until 09:08:01
expect
09:05:00 LogGap firing warning
09:08:00.003 PortfolioSyncStale firing warning

=== --until cuts the input: a block that is open there gives no event
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=502
09:30:00 proxy !request private/a 200 0
until 09:10:00
requests none
