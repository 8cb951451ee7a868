=== a top-level code of zero is ok, whatever is nested in the body
09:00:00 proxy !request private/get-order-history 200 0
requests ok=1
crypto_exchange_last_success_timestamp_seconds{method="private/get-order-history"} 1773478800
crypto_exchange_requests_total{method="private/get-order-history",outcome="ok",code="0"} 1

=== each code of the auth class counts whatever the HTTP status
09:00:00 proxy !request private/a 200 40101
09:00:01 proxy !request private/b 400 40102
09:00:02 proxy !request private/c 401 40103
09:00:03 proxy !request private/d 500 40104
09:00:04 proxy !request private/e 429 40101
requests auth_failed=5
crypto_exchange_requests_total{code="40104"} 1

=== a code written as text or as a whole float is the same number
09:00:00 proxy !request private/a 200 "40101"
09:00:01 proxy !request private/a 200 40101.0
09:00:02 proxy !request private/b 200 "0"
requests auth_failed=2 ok=1
crypto_exchange_requests_total{code="40101"} 2
crypto_exchange_requests_total{code="0"} 1

=== null is no code, what is no number is rejected as other
09:00:00 proxy !request private/a 200 null
09:00:01 proxy !request private/a 200 "DENIED"
09:00:02 proxy !request private/a 200 true
09:00:03 proxy !request private/a 200 {"code": {"code": 40101}}
09:00:04 proxy !request private/a 200 ["code", 40101]
09:00:05 proxy !request private/a 200 ""
requests unknown=2 rejected=4
crypto_exchange_requests_total{outcome="rejected",code="other"} 4
crypto_exchange_requests_total{outcome="unknown",code=""} 2

=== null under 429 and 5xx leaves the status to decide
09:00:00 proxy !request private/a 429 null
09:00:01 proxy !request private/a 502 null
09:00:02 proxy !request private/a 401 null
requests rate_limited=1 upstream_failed=1 unknown=1

=== json without a top-level code is unknown also under 401, but for 429 and 5xx
09:00:00 proxy !request private/a 401 none
09:00:01 proxy !request private/a 200 none
09:00:02 proxy !request private/a 429 none
09:00:03 proxy !request private/a 500 none
09:00:04 proxy !request private/a 504 none
09:00:05 proxy !request private/a 200 {}
09:00:05.5 proxy !request private/a 200 0
09:00:06 proxy !request private/a 503 {}
09:00:07 proxy !request private/a 200 [{"code": 40101}]
requests unknown=4 rate_limited=1 upstream_failed=3 ok=1

=== a code decides alone under any status
09:00:00 proxy !request private/a 429 0
09:00:01 proxy !request private/a 500 0
09:00:02 proxy !request private/a 429 10004
09:00:03 proxy !request private/a 502 306
09:00:04 proxy !request private/a 200 42901
09:00:05 proxy !request private/a 200 40801
09:00:06 proxy !request private/a 400 50001
09:00:07 proxy !request private/a 200 401
09:00:08 proxy !request private/a 200 408
09:00:09 proxy !request private/a 200 429
09:00:10 proxy !request private/a 400 140001
requests ok=2 rejected=6 rate_limited=1 upstream_failed=2

=== bodies that are no json are upstream failures, under 429 rate limits
09:00:00 proxy !request private/a 502 text:<html>\n<head><title>502 Bad Gateway</title></head>\n  "code": 0,\n</html>
09:00:01 proxy !request private/b 200 text:<html>maintenance</html>
09:00:01.5 proxy !request private/c 429 text:slow down
09:00:02 proxy !request private/c 401 text:unauthorized
09:00:03 proxy !request private/d 429 text:slow down
09:00:04 proxy !request private/e 200 text:
requests upstream_failed=4 rate_limited=2

=== timeout and connection error without a status
09:00:00 proxy !request private/a timeout
09:00:20 proxy !request private/a error
requests upstream_failed=2
crypto_exchange_requests_total{outcome="upstream_failed",code=""} 2
crypto_exchange_http_responses_total{status="200"} 0

=== a proxy error after END is counted once
09:00:00 proxy !request private/a 500 text:oops
09:00:00.5 proxy: ERROR:crypto_proxy:Proxy error: Expecting value: line 1 column 1 (char 0)
09:00:00.6 proxy: INFO:     198.51.100.7:4000 - "POST /proxy/private HTTP/1.1" 500 Internal Server Error
requests upstream_failed=1

=== three upstream failures in a row over all methods fire; unknown is passed over
09:00:00 proxy !request private/a 502 text:<html>
09:00:10 proxy !request private/b 200 none
09:00:20 proxy !request private/c timeout
09:00:30 proxy !request private/d 503 none
09:01:00 proxy !request private/a 200 306
09:04:00 proxy !request private/a 200 0
expect
09:00:30.003 ExchangeUpstreamFailing firing warning value=3 source=crypto-proxy
09:03:00.003 ExchangeUpstreamFailing resolved warning
requests upstream_failed=3 unknown=1 rejected=1 ok=1
crypto_exchange_upstream_failure_streak 0

=== every outcome but unknown breaks the upstream streak
09:00:00 proxy !request private/a timeout
09:00:01 proxy !request private/a timeout
09:00:02 proxy !request private/a 401 40101
09:00:03 proxy !request private/a timeout
09:00:04 proxy !request private/a timeout
09:00:05 proxy !request private/a 429 none
09:00:06 proxy !request private/a timeout
09:00:07 proxy !request private/a timeout
09:00:08 proxy !request private/a 200 10004
09:00:09 proxy !request private/a timeout
09:00:10 proxy !request private/a timeout
requests upstream_failed=8 auth_failed=1 rate_limited=1 rejected=1
crypto_exchange_upstream_failure_streak 2

=== the code may stand before or after all other keys
09:00:00 proxy: <diag> === PROXY REQUEST START ===
| <diag> method=private/a
| <diag> response_status=200
| <diag> response_body={
|   "code": 40101,
|   "id": 1
| }
| <diag> === PROXY REQUEST END ===
09:00:01 proxy: <diag> === PROXY REQUEST START ===
| <diag> method=private/a
| <diag> response_status=200
| <diag> response_body={
|   "id": 1,
|   "result": {
|     "x": "\"code\": 0,",
|     "code": 0
|   },
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
requests auth_failed=2

=== an empty object and a lone bracket
09:00:00 proxy: <diag> === PROXY REQUEST START ===
| <diag> method=private/a
| <diag> response_status=200
| <diag> response_body={}
| <diag> === PROXY REQUEST END ===
09:00:01 proxy: <diag> === PROXY REQUEST START ===
| <diag> method=private/a
| <diag> response_status=502
| <diag> response_body=[
|   1,
|   2
| ]
| <diag> === PROXY REQUEST END ===
requests unknown=1 upstream_failed=1

=== a wrong proxy token is no auth failure of the exchange, and its access line is not counted
09:00:00..09:00:30/15s proxy: WARNING:crypto_proxy:Invalid proxy token from client
09:00:00.1..09:00:30.1/15s proxy: INFO:     198.51.100.7:4000 - "POST /proxy/private HTTP/1.1" 401 Unauthorized
until +25m
expect
09:00:30 ProxyTokenRejected firing warning value=3
09:20:00 ProxyTokenRejected resolved warning
requests none
crypto_proxy_token_rejections_total 3

=== scanners and urls that look like our lines are ignored
09:00:00 proxy: INFO:     198.51.100.7:4000 - "GET /?x=response_status=401 HTTP/1.1" 404 Not Found
09:00:01 proxy: INFO:     198.51.100.7:4000 - "GET /INFO:crypto_proxy:[CRYPTO_AUTH_DIAG]%20response_status=401 HTTP/1.1" 404 Not Found
09:00:02 proxy: INFO:     198.51.100.7:4000 - "POST /proxy/private HTTP/1.1" 422 Unprocessable Entity
09:00:03..09:10:00/10s proxy: INFO:     198.51.100.7:4000 - "GET /health HTTP/1.1" 200 OK
requests none
crypto_exchange_http_responses_total 0

=== the logger is __main__ when the proxy is started by hand
09:00:00 proxy: INFO:__main__:[CRYPTO_AUTH_DIAG] === PROXY REQUEST START ===
| INFO:__main__:[CRYPTO_AUTH_DIAG] method=private/a
| INFO:__main__:[CRYPTO_AUTH_DIAG] response_status=401
| INFO:__main__:[CRYPTO_AUTH_DIAG] response_body={
|   "code": 40101
| }
| INFO:__main__:[CRYPTO_AUTH_DIAG] === PROXY REQUEST END ===
requests auth_failed=1

=== a method is told by method= alone
09:00:00 proxy: <diag> === PROXY REQUEST START ===
| INFO:crypto_proxy:Proxying request: private/nope
| INFO:crypto_proxy:[CRYPTO_AUTH_DEBUG] endpoint_url=https://api.crypto.com/exchange/v1/private/nope
| <diag> response_status=200
| <diag> response_body={
|   "method": "private/nope",
|   "code": 0
| }
| <diag> === PROXY REQUEST END ===
crypto_exchange_requests_total{method="unknown",outcome="ok",code="0"} 1
crypto_exchange_requests_total 1
