=== a block without a verdict ends unknown at END
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=200
09:00:01.1 proxy: <diag> === PROXY REQUEST END ===
requests unknown=1
crypto_exchange_http_responses_total{status="200"} 1

=== a status of 429 or 5xx decides when END closes the block without a body
09:00:00 proxy !request private/a 429 nothing
09:00:01 proxy !request private/a 502 nothing
09:00:02 proxy !request private/a 401 nothing
requests rate_limited=1 upstream_failed=1 unknown=1

=== a body that END cuts off leaves its code, if it was read
09:00:00 proxy !open private/a
09:00:00.1 proxy: <diag> response_status=401
09:00:00.2 proxy: <diag> response_body={
|   "code": 40101,
|   "message": "x"
| <diag> === PROXY REQUEST END ===
requests auth_failed=1

=== a body that END cuts off before its code is unknown
09:00:00 proxy !open private/a
09:00:00.1 proxy: <diag> response_status=401
09:00:00.2 proxy: <diag> response_body={
|   "id": 1,
| <diag> === PROXY REQUEST END ===
requests unknown=1

=== a new START ends the block of its process as unknown
09:00:00 proxy !open private/a
09:00:00.1 proxy: <diag> response_status=502
09:00:01 proxy !request private/b 200 0
requests unknown=1 ok=1
crypto_exchange_requests_total{method="private/a",outcome="unknown"} 1

=== a verdict stands when a new START ends the block
09:00:00 proxy !open private/a
09:00:00.1 proxy: <diag> response_status=401
09:00:00.2 proxy: <diag> response_body={
|   "code": 40101,
09:00:01 proxy !request private/b 200 0
requests auth_failed=1 ok=1

=== a killed process gives unknown, what it still wrote gives nothing
09:00:00 proxy !open private/a
09:00:00.1 proxy: <diag> response_status=502
09:00:00.2 proxy: <diag> response_body={
09:00:00.3 systemd: crypto-proxy.service: Main process exited, code=killed, status=9/KILL
09:00:00.4 proxy:   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
| <diag> response_status=401
| <diag> response_body={
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
09:00:00.5 systemd: crypto-proxy.service: Failed with result 'signal'.
09:00:04 proxy[2000]: INFO:     Started server process [2000]
09:00:05 proxy[2000] !request private/a 200 0
requests unknown=1 ok=1
crypto_proxy_failed_exits_total 1
crypto_proxy_starts_total 1
crypto_exchange_http_responses_total{status="401"} 1

=== another process never ends a block, and two are read side by side
09:00:00 proxy[1] !open private/a
09:00:00.0001 proxy[2] !open private/b
09:00:01 proxy[1]: <diag> response_status=401
09:00:01.1 proxy[2]: <diag> response_status=200
09:00:01.2 proxy[1]: <diag> response_body={
09:00:01.3 proxy[2]: <diag> response_body={
09:00:01.4 proxy[1]:   "code": 40101
09:00:01.5 proxy[2]:   "code": 0
09:00:01.6 proxy[2]: }
09:00:01.7 proxy[1]: }
09:00:01.8 proxy[2]: INFO:     Started server process [2]
09:00:01.9 proxy[1]: <diag> === PROXY REQUEST END ===
requests auth_failed=1 ok=1
crypto_exchange_requests_total{method="private/a",outcome="auth_failed"} 1
crypto_exchange_requests_total{method="private/b",outcome="ok"} 1

=== its own start line ends a block of a reused pid
09:00:00 proxy[7] !open private/a
09:00:00.5 proxy[7]: <diag> response_status=401
09:00:01 proxy[7]: INFO:     Started server process [7]
09:00:02 proxy[7]: <diag> response_body={
|   "code": 40101
| }
requests unknown=1

=== the start of another process ends no block
09:00:00 proxy[7] !open private/a
09:00:00.5 proxy[7]: <diag> response_status=401
09:00:01 proxy[8]: INFO:     Started server process [8]
09:00:02 proxy[7]: <diag> response_body={
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
requests auth_failed=1

=== its own finish line ends a block
09:00:00 proxy[7] !open private/a
09:00:00.5 proxy[7]: <diag> response_status=502
09:00:01 proxy[7]: INFO:     Finished server process [7]
09:00:02 proxy[7]: <diag> === PROXY REQUEST END ===
requests unknown=1

=== each of systemd's words about the end of the unit ends the block
09:00:00 proxy[1] !open private/a
09:00:01 systemd: crypto-proxy.service: Failed with result 'exit-code'.
09:00:10 proxy[2] !open private/a
09:00:11 systemd: crypto-proxy.service: Deactivated successfully.
09:00:20 proxy[3] !open private/a
09:00:21 systemd: Stopped Crypto.com Signer Proxy.
09:00:30 proxy[4] !open private/a
09:00:31 systemd: Stopped crypto-proxy.service - Crypto.com Signer Proxy.
09:00:40 proxy[5] !open private/a
09:00:41 systemd: crypto-proxy.service: Main process exited, code=exited, status=1/FAILURE
09:00:42 systemd: crypto-proxy.service: Scheduled restart job, restart counter is at 3.
09:00:50 proxy[6] !request private/a 200 0
requests unknown=5 ok=1

=== systemd's other words end no block
09:00:00 proxy !open private/a
09:00:00.5 systemd: Stopping Crypto.com Signer Proxy...
09:00:00.6 systemd: Started Crypto.com Signer Proxy.
09:00:00.7 proxy: <diag> response_status=200
| <diag> response_body={
|   "code": 0
| }
| <diag> === PROXY REQUEST END ===
requests ok=1

=== another boot ends a block, and resets no streak
export-only
09:00:00 proxy !request private/a 401 40101
09:00:20 proxy !request private/a 401 40101
09:00:30 proxy !open private/a
boot 09:01:00
09:01:10 proxy:   "code": 0
09:01:20 proxy !request private/a 401 40101
expect
09:01:20 ExchangeAuthFailing firing critical value=3 method=private/a
requests auth_failed=3 unknown=1

=== a gap ends the block and what follows of it gives nothing
09:00:00 proxy !open private/a
09:00:00.5 proxy: <diag> response_status=401
09:00:01 journald: Suppressed 1200 messages from crypto-proxy.service
09:00:01.1 proxy: <diag> response_body={
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
09:00:02 proxy !request private/a 200 0
until +15m
expect
09:00:01 LogGap firing warning source=crypto-proxy
09:10:01 LogGap resolved warning
requests unknown=1 ok=1
tocsin_log_gaps_total{source="crypto-proxy"} 1
tocsin_log_gap_lines_total{source="crypto-proxy"} 1200

=== an open block is over after 120 s, without a line to tell of it
09:00:00 proxy !open private/a
09:00:10 proxy: <diag> response_status=401
09:02:30 proxy: <diag> response_body={
|   "code": 40101
| }
requests unknown=1

=== a block that holds 119 s is whole
09:00:00 proxy !open private/a
09:00:10 proxy: <diag> response_status=401
09:01:59 proxy: <diag> response_body={
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
requests auth_failed=1

=== a verdict stands when the time is over
09:00:00 proxy !open private/a
09:00:10 proxy: <diag> response_status=401
09:00:11 proxy: <diag> response_body={
|   "code": 40101
09:05:00 proxy !request private/a 200 0
requests auth_failed=1 ok=1

=== a block still open at the end of the input gives no event
09:00:00 proxy !open private/a
09:00:00.5 proxy: <diag> response_status=502
until +10m
requests none

=== a block still open when the proxy's input ends runs into no limit while others go on
09:00:00 proxy !open private/a
09:00:00.5 proxy: <diag> response_status=502
09:00:01..09:10:00/60s backend !sync a 50,743.40
requests none
syncs ok=10

=== outside any block a status followed by a body is a request of unknown method
09:00:00 proxy: <diag> response_status=200
| <diag> response_body={
|   "code": 0,
|   "result": { ... account data ... }
| }
09:00:10 proxy: <diag> response_status=502
| <diag> response_body_text=<html>
| <body>
09:00:20 proxy: <diag> response_status=401
| <diag> response_body={
|   "code": 40101,
|   "message": "Authentication failure"
| }
requests ok=1 upstream_failed=1 auth_failed=1
crypto_exchange_requests_total{method="unknown"} 3

=== outside any block a status alone, a body alone, or END give nothing
09:00:00 proxy: <diag> response_status=401
09:00:01 proxy: <diag> === PROXY REQUEST END ===
09:00:02 proxy: <diag> response_body={
|   "code": 40101
| }
09:00:03 proxy: <diag> response_body_text=<html>
09:00:04 proxy: ERROR:crypto_proxy:Crypto.com API timeout
09:00:05 proxy:   "code": 40101,
09:00:06 proxy: <diag> method=private/a
requests none

=== a monitor that starts inside a body waits for a whole block
09:00:00 proxy:       "code": 40101,
|     }
|   ],
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
09:00:10 proxy !request private/a 200 0
requests ok=1

=== an application record inside a body breaks it off; END closes the block, so the status decides
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=502
09:00:02 proxy: <diag> response_body={
|   "id": 1,
| INFO:crypto_proxy:something else
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
requests upstream_failed=1

=== the access line inside a body of another kind changes nothing afterwards
09:00:00 proxy !request private/a 200 0
09:00:01 proxy: INFO:     198.51.100.7:4000 - "POST /proxy/private HTTP/1.1" 401 Unauthorized
09:00:02 proxy !request private/a 401 40101
requests ok=1 auth_failed=1

=== a timeout after the status is one upstream failure, after a code it is nothing more
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=200
09:00:15 proxy: ERROR:crypto_proxy:Crypto.com API timeout
09:01:00 proxy !open private/a
09:01:01 proxy: <diag> response_status=200
| <diag> response_body={
|   "code": 0,
09:01:15 proxy: ERROR:crypto_proxy:Crypto.com API error: connection reset
requests upstream_failed=1 ok=1

=== after a timeout what its process writes outside a block is no request
09:00:00 proxy !request private/a timeout
09:00:01 proxy: <diag> === PROXY REQUEST END ===
09:00:02 proxy: ERROR:crypto_proxy:Proxy error: boom
requests upstream_failed=1

=== a text body is judged at once, and a killed process changes nothing of it
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=502
| <diag> response_body_text=<html>
| <body>
09:00:02 systemd: crypto-proxy.service: Main process exited, code=killed, status=9/KILL
requests upstream_failed=1

=== a whole json body without a code is judged by its status, though END never comes
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=503
| <diag> response_body={
|   "id": 1
| }
09:00:02 systemd: crypto-proxy.service: Main process exited, code=killed, status=9/KILL
requests upstream_failed=1

=== a muted process says nothing until its START, also not by a pair of status and body
09:00:00 proxy !open private/a
09:00:01 proxy: INFO:     Finished server process [1000]
09:00:02 proxy: <diag> response_status=401
| <diag> response_body={
|   "code": 40101
| }
09:00:03 proxy !request private/a 200 0
09:00:04 proxy: <diag> response_status=401
| <diag> response_body={
|   "code": 40101
| }
requests unknown=1 ok=1 auth_failed=1

=== after a gap outside any block a pair is still read
09:00:00 journald: Suppressed 10 messages from crypto-proxy.service
09:00:02 proxy: <diag> response_status=401
| <diag> response_body={
|   "code": 40101
| }
expect
09:00:00 LogGap firing warning
requests auth_failed=1

=== a headless body that breaks off is unknown, and status and body of others are no pair
09:00:00 proxy[1]: <diag> response_status=401
09:00:00.1 proxy[2]: <diag> response_body={
|   "code": 40101
| }
09:00:01 proxy[3]: <diag> response_status=401
| <diag> response_body={
|   "id": 1
09:00:02 proxy[3] !request private/a 200 0
requests unknown=1 ok=1

=== a block that is still open when its input ends gives no event, though its verdict stands
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=401
| <diag> response_body={
|   "code": 40101
| }
requests none

=== a verdict that stands is told when its process is gone
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=401
| <diag> response_body={
|   "code": 40101,
09:00:02 systemd: crypto-proxy.service: Main process exited, code=killed, status=9/KILL
requests auth_failed=1
