=== an entry that continues a cut one is no line of its own
export-only
09:00:00 proxy !open private/a
09:00:01 proxy[1000,line-max]: <diag> params={'x': '<pad 49000>
09:00:01.1 proxy: <diag> response_status=401
09:00:01.2 proxy[1000,line-max]: <diag> params={'x': '<pad 49000>
09:00:01.3 proxy[1000,line-max]: <diag> response_body={"code": 40101}<pad 1000>
09:00:01.4 proxy: <diag> === PROXY REQUEST END ===
09:00:02 proxy: <diag> response_status=200
| <diag> response_body={
|   "code": 0
| }
| <diag> === PROXY REQUEST END ===
requests ok=1
crypto_exchange_http_responses_total{status="401"} 0

=== a piece cut by nul goes on in the next entry
export-only
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=200
09:00:02 proxy[1000,nul]: <diag> params=
09:00:02.1 proxy: <diag> response_body={"code": 40101}
09:00:03 proxy: <diag> response_body={
|   "code": 0
| }
| <diag> === PROXY REQUEST END ===
requests ok=1

=== an entry cut off by the end of its writer is not trusted
export-only
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> response_status=200
09:00:02 proxy: <diag> response_body={
09:00:02.1 proxy[1000,eof]:   "code": 4010
09:00:03 systemd: crypto-proxy.service: Main process exited, code=killed, status=9/KILL
requests unknown=1

=== a cut status line gives no status and no event
export-only
09:00:00 proxy[1000,eof]: <diag> response_status=40
requests none
crypto_exchange_http_responses_total 0

=== a 48K piece of a text dump is continued by the next line of its process
09:00:00 proxy !open private/a
09:00:01 proxy: <diag> params={'x': '<pad 49094>
09:00:01.1 proxy: <diag> response_status=401
09:00:02 proxy: <diag> response_status=200
| <diag> response_body={
|   "code": 0
| }
| <diag> === PROXY REQUEST END ===
requests ok=1
