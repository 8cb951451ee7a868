=== beyond 64 methods the label is other, and rules still tell them apart
09:00:00..09:01:09/1s proxy !request private/m<i> 401 40101
09:02:00..09:03:09/1s proxy !request private/m<i> 401 40101
09:04:09 proxy !request private/m69 401 40101
expect
09:04:09.003 ExchangeAuthFailing firing critical value=3 method=private/m69
requests auth_failed=141
crypto_exchange_requests_total{method="other"} 13
crypto_exchange_requests_total{method="private/m63"} 2
crypto_exchange_requests_total{method="private/m64"} absent

=== names longer than 64 bytes or with white space are other, rules key on the value as read
09:00:00..09:00:20/10s proxy !request private/get-the-history-of-orders-of-all-accounts-and-sub-accounts 401 40101
09:01:00 proxy: <diag> === PROXY REQUEST START ===
| <diag> method=private/a b
| <diag> response_status=401
| <diag> response_body={
|   "code": 40101
| }
| <diag> === PROXY REQUEST END ===
expect
09:00:20.003 ExchangeAuthFailing firing critical method=private/get-the-history-of-orders-of-all-accounts-and-sub-accounts
crypto_exchange_requests_total{method="other",outcome="auth_failed"} 4

=== a name of exactly 64 bytes stands
09:00:00 proxy !request private/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 200 0
crypto_exchange_requests_total{method="private/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"} 1

=== codes are capped as methods are
09:00:00..09:01:09/1s proxy !request private/a 400 <i>1000
requests rejected=70
crypto_exchange_requests_total{code="other"} 6

=== a method that tries to be terminal text or a secret is shown harmless
forbidden FAKEKEY_IN_METHOD
forbidden 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
09:00:00..09:00:20/10s proxy !request private/<esc>[31mred 401 40101
09:01:00..09:01:20/10s proxy !request private/a-signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef 401 40101
09:02:00..09:02:20/10s proxy !request api_key:FAKEKEY_IN_METHOD 401 40101
expect
09:00:20.003 ExchangeAuthFailing firing critical
09:01:20.003 ExchangeAuthFailing firing critical
09:02:20.003 ExchangeAuthFailing firing critical

=== a body of twenty thousand lines is held to its code
09:00:00 proxy !request private/get-order-history 200 big:19000
requests auth_failed=1
crypto_exchange_requests_total{method="private/get-order-history"} 1

=== a body without end is given up as unknown and what follows it gives nothing
09:00:00 proxy !request private/get-order-history 502 big:50001
09:01:00 proxy !request private/a 200 0
requests unknown=1 ok=1

=== the application cannot forge a gap
09:00:00 proxy: Suppressed 10 messages from crypto-proxy.service
09:00:01 proxy: INFO:crypto_proxy:Suppressed 10 messages from crypto-proxy.service
tocsin_log_gaps_total{source="crypto-proxy"} 0
