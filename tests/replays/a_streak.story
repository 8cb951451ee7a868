=== three refusals in a row fire, one success ends it two minutes later
09:00:00..09:00:40/20s proxy !request private/user-balance 401 40101
09:01:00..09:04:00/20s proxy !request private/user-balance 200 0
expect
09:00:40.003 ExchangeAuthFailing firing critical value=3 method=private/user-balance source=crypto-proxy
09:03:00.003 ExchangeAuthFailing resolved critical
requests auth_failed=3 ok=10
crypto_exchange_requests_total{code="40101"} 3
crypto_exchange_http_responses_total{status="401"} 3
crypto_exchange_auth_failure_streak{method="private/user-balance"} 0
tocsin_alert_firing{alert="ExchangeAuthFailing",severity="critical"} 0
