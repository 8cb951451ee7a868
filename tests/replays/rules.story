=== two in a row are no alert, and each method has its own streak
09:00:00 proxy !request private/a 401 40101
09:00:10 proxy !request private/b 401 40101
09:00:20 proxy !request private/a 401 40101
09:00:30 proxy !request private/b 401 40101
09:00:40 proxy !request private/a 200 0
crypto_exchange_auth_failure_streak{method="private/a"} 0
crypto_exchange_auth_failure_streak{method="private/b"} 2

=== success of one endpoint does not resolve another
09:00:00..09:00:40/20s proxy !request private/user-balance 401 40101
09:01:00..09:09:00/60s proxy !request private/get-order-history 200 0
expect
09:00:40.003 ExchangeAuthFailing firing critical method=private/user-balance

=== other outcomes neither lengthen nor break the auth streak
09:00:00 proxy !request private/a 401 40101
09:00:10 proxy !request private/a timeout
09:00:20 proxy !request private/a 401 40101
09:00:30 proxy !request private/a 429 42901
09:00:40 proxy !request private/a 200 306
09:00:50 proxy !request private/a 401 none
09:01:00 proxy !request private/a 401 40101
expect
09:01:00.003 ExchangeAuthFailing firing critical value=3

=== flapping within two minutes is one incident
09:00:00..09:00:40/20s proxy !request private/a 401 40101
09:01:00 proxy !request private/a 200 0
09:02:00..09:02:40/20s proxy !request private/a 401 40101
09:03:00..09:06:00/60s proxy !request private/a 200 0
expect
09:00:40.003 ExchangeAuthFailing firing critical
09:02:00.003 ExchangeAuthUnstable firing warning by=ExchangeAuthFailing
09:05:00.003 ExchangeAuthFailing resolved critical

=== a streak of less than three within the hold does not renew it
09:00:00..09:00:40/20s proxy !request private/a 401 40101
09:01:00 proxy !request private/a 200 0
09:02:00 proxy !request private/a 401 40101
09:03:30 proxy !request private/a 200 0
expect
09:00:40.003 ExchangeAuthFailing firing critical
09:02:00.003 ExchangeAuthUnstable firing warning by=ExchangeAuthFailing
09:03:00.003 ExchangeAuthFailing resolved critical

=== a share of exactly a fifth with four failures is unstable
09:00:00..09:00:15/1s proxy !request private/a 200 0
09:01:00 proxy !request private/a 401 40101
09:01:01 proxy !request private/a 200 0
09:02:00 proxy !request private/a 401 40101
09:02:01 proxy !request private/a 200 0
09:03:00 proxy !request private/a 401 40101
09:03:01 proxy !request private/a 200 0
09:04:00 proxy !request private/a 401 40101
expect
until +1s
crypto_exchange_auth_failure_streak{method="private/a"} 1

=== a share of exactly a fifth of twenty is unstable
09:00:00..09:00:12/1s proxy !request private/a 200 0
09:01:00 proxy !request private/a 401 40101
09:01:01 proxy !request private/a 200 0
09:02:00 proxy !request private/a 401 40101
09:02:01 proxy !request private/a 200 0
09:03:00 proxy !request private/a 401 40101
09:03:01 proxy !request private/a 200 0
09:04:00 proxy !request private/a 401 40101
until +1s
expect
09:04:00.003 ExchangeAuthUnstable firing warning value=0.2 method=private/a

=== an unstable alert clears when the window no longer holds four, then holds ten minutes
09:00:00 proxy !request private/a 401 40101
09:01:00 proxy !request private/a 200 0
09:02:00 proxy !request private/a 401 40101
09:03:00 proxy !request private/a 200 0
09:04:00 proxy !request private/a 401 40101
09:05:00 proxy !request private/a 200 0
09:06:00 proxy !request private/a 401 40101
09:06:30 proxy !request private/a 200 0
until 09:30:00
expect
09:06:00.003 ExchangeAuthUnstable firing warning value=0.5714
09:20:00.003 ExchangeAuthUnstable resolved warning

=== others of the window are not counted for the share
09:00:00..09:00:30/1s proxy !request private/a 200 306
09:01:00 proxy !request private/a 401 40101
09:01:10 proxy !request private/a 200 0
09:01:20 proxy !request private/a 401 40101
09:01:30 proxy !request private/a 200 0
09:01:40 proxy !request private/a 401 40101
09:01:50 proxy !request private/a 200 0
09:02:00 proxy !request private/a 401 40101
expect
09:02:00.003 ExchangeAuthUnstable firing warning value=0.5714

=== three rate limits in five minutes over all methods, once
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/b 429 text:slow
09:02:00 proxy !request private/c 200 42901
09:02:10..09:03:00/10s proxy !request private/c 200 42901
until 09:20:00
expect
09:02:00.003 ExchangeRateLimited firing warning value=3 source=crypto-proxy
09:12:40.003 ExchangeRateLimited resolved warning
requests rate_limited=9

=== an event leaves its window exactly five minutes later
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
09:05:00 proxy !request private/a 429 42901
requests rate_limited=3

=== a condition over a window clears with the window, not at the next event
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
09:02:00 proxy !request private/a 429 42901
until 09:10:01
expect
09:02:00.003 ExchangeRateLimited firing warning
09:10:00.003 ExchangeRateLimited resolved warning

=== flapping of a window is one incident while it holds
09:00:00 proxy !request private/a 429 42901
09:01:00 proxy !request private/a 429 42901
09:02:00 proxy !request private/a 429 42901
09:07:30 proxy !request private/a 429 42901
09:08:30 proxy !request private/a 429 42901
09:09:30 proxy !request private/a 429 42901
until 09:17:31
expect
09:02:00.003 ExchangeRateLimited firing warning
09:17:30.003 ExchangeRateLimited resolved warning

=== a streak of which nothing is heard for an hour ends for want of data, then holds
09:00:00..09:00:40/20s proxy !request private/a 401 40101
09:30:00 proxy !request private/a timeout
until 10:03:00
expect
09:00:40.003 ExchangeAuthFailing firing critical
10:02:40.003 ExchangeAuthFailing resolved critical
crypto_exchange_auth_failure_streak{method="private/a"} 0

=== a forgotten streak does not go on
09:00:00 proxy !request private/a 401 40101
09:00:20 proxy !request private/a 401 40101
10:00:21 proxy !request private/a 401 40101
crypto_exchange_auth_failure_streak{method="private/a"} 1

=== a streak within the hour goes on
09:00:00 proxy !request private/a 401 40101
09:00:20 proxy !request private/a 401 40101
10:00:19 proxy !request private/a 401 40101
expect
10:00:19.003 ExchangeAuthFailing firing critical value=3

=== a passed-over outcome does not keep a streak alive
09:00:00 proxy !request private/a timeout
09:00:20 proxy !request private/a timeout
09:30:00 proxy !request private/a 200 none
10:00:21 proxy !request private/a timeout
crypto_exchange_upstream_failure_streak 1

=== an empty portfolio of which nothing is heard for an hour ends
09:00:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
until 10:00:01
expect
09:00:00 PortfolioEmpty firing warning
09:08:00 PortfolioSyncStale firing warning
09:15:00 PortfolioSyncStale firing critical
10:00:00 PortfolioEmpty resolved warning

=== further empty syncs keep it, failed ones do not count
09:00:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:30:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:40:00 backend: ERROR <cache> Error updating portfolio cache: x
until 10:30:01
expect
09:00:00 PortfolioEmpty firing warning
09:08:00 PortfolioSyncStale firing warning
09:15:00 PortfolioSyncStale firing critical
10:30:00 PortfolioEmpty resolved warning

=== three failed exits in two minutes are a crash loop, each counted by one line
09:00:00..09:00:08/4s systemd: crypto-proxy.service: Main process exited, code=exited, status=3/NOTIMPLEMENTED
09:00:00.1..09:00:08.1/4s systemd: crypto-proxy.service: Failed with result 'exit-code'.
09:00:03..09:00:11/4s systemd: crypto-proxy.service: Scheduled restart job, restart counter is at 2.
until 09:10:00
expect
09:00:08.1 ProxyCrashLooping firing critical value=3
09:07:00.1 ProxyCrashLooping resolved critical
crypto_proxy_failed_exits_total 3

=== the application cannot forge systemd's words
09:00:00..09:00:08/4s proxy: crypto-proxy.service: Failed with result 'exit-code'.
crypto_proxy_failed_exits_total 0

=== a clean restart raises nothing
09:00:00 systemd: Stopping Crypto.com Signer Proxy...
09:00:00.1 proxy[1]: INFO:     Shutting down
09:00:00.2 proxy[1]: INFO:     Finished server process [1]
09:00:00.3 systemd: crypto-proxy.service: Deactivated successfully.
09:00:00.4 systemd: Stopped Crypto.com Signer Proxy.
09:00:05 systemd: Started Crypto.com Signer Proxy.
09:00:06 proxy[2]: INFO:     Started server process [2]
crypto_proxy_starts_total 1
crypto_proxy_failed_exits_total 0

=== three failed boots in five minutes, told apart from their reason lines
09:00:00..09:02:00/60s backend: [2026-03-14 09:00:00 +0000] [1] [ERROR] Worker failed to boot.
09:00:00.1..09:02:00.1/60s backend: [2026-03-14 09:00:00 +0000] [1] [ERROR] Reason: Worker failed to boot.
until 09:12:01
expect
09:02:00 BackendCrashLooping firing critical value=3 source=backend
09:08:00 PortfolioSyncStale firing warning by=BackendCrashLooping
09:10:00 BackendCrashLooping resolved critical
backend_failed_boots_total 3

=== a bare boot line counts too
09:00:00 backend: Worker failed to boot.
09:00:01 backend: Reason: Worker failed to boot.
09:00:02 backend: gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>
backend_failed_boots_total 1
