=== both eras of the success line are a good sync
09:00:00 backend !sync a 50,743.40
09:01:05 backend !sync b 50,743.40 41,000.05
syncs ok=2
portfolio_total_usd 50743.40
portfolio_collateral_usd 41000.05
portfolio_balances 18
portfolio_last_sync_timestamp_seconds 1773478865.0

=== a gauge that the last good sync does not give is dropped
09:00:00 backend !sync b 50,743.40 41,000.05
09:01:05 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $12.00
syncs ok=2
portfolio_total_usd 12
portfolio_collateral_usd absent
portfolio_balances absent

=== every prefix that the backend's lines come with is read
09:00:00 backend: =INFO app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $1.00
09:01:00 backend: =[2026-03-14 09:01:00,540] [INFO] app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $2.00
09:02:00 backend: =2026-03-14 09:02:00,540 [INFO] app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $3.00
syncs ok=3
portfolio_total_usd 3

=== negative is valid, minus zero is zero, nan and inf are no amounts
09:00:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $-1,234.56
09:01:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $nan
09:02:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $inf
09:03:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $-inf
09:03:10 backend: INFO <cache> Portfolio cache updated successfully. Raw assets: $1.00, Collateral: $nan
09:04:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $-0.00
expect
09:04:00 PortfolioEmpty firing warning
syncs ok=1 empty=1
portfolio_total_usd -1234.56
tocsin_event_near_misses_total{event="portfolio_sync"} 4

=== a success line that is not whole gives no event and is nearly matched
09:00:00 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $50,7
09:00:10 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $
09:00:20 backend: INFO <cache> Portfolio cache updated successfully
09:00:30 backend: INFO <cache> Portfolio cache updated successfully. Raw assets: $50.00, Collat
09:00:40 backend: INFO <cache> Portfolio cache updated successfully. Raw assets: $50.00
09:00:50 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $50.5
syncs none
tocsin_event_near_misses_total{event="portfolio_sync"} 6

=== look-alikes are no syncs
09:00:00 backend: INFO app.dashboard:    - Portfolio cache updated successfully, retrying get_portfolio_summary
09:00:01 backend: INFO <sync> ✅ Portfolio cache updated: $50,743.40
09:00:02 backend: INFO <sync> Synced 18 account balances
09:00:03 backend: INFO app.services.portfolio_snapshot: ✅ Portfolio snapshot created/stored: 50,743.40
09:00:04 backend: =10.0.0.1:333 - "POST /api/portfolio/refresh HTTP/1.1" 200 "message": "Portfolio cache updated successfully. Total USD: $1.00"
09:00:05 backend: INFO app.api.x: echo INFO app.services.portfolio_cache: Portfolio cache updated successfully. Total USD: $1.00
09:00:06 backend: INFO <cache> [PORTFOLIO_DEBUG] TOTAL RAW ASSETS USD: $50,743.40
09:00:07 backend: ERROR app.database: password authentication failed for user "trader"
09:00:08 backend: ERROR <sync> Error syncing balances: boom
09:00:09 backend: WARNING <sync> No balance data received from Crypto.com
09:00:10 backend: WARNING <cache> No balance data received from Crypto.com
syncs none
tocsin_event_near_misses_total{event="portfolio_sync"} 0

=== each line that ends a refresh is a failure
09:00:00 backend: ERROR <cache> Error updating portfolio cache: (psycopg2.OperationalError) gone
09:01:00 backend: ERROR <cache> No balance data received from Crypto.com
09:02:00 backend: ERROR <cache> Crypto.com API authentication failed: Authentication failure (code: 40101)
expect
09:02:00 PortfolioSyncFailing firing warning value=3 source=backend
syncs failed=3
portfolio_sync_failure_streak 3

=== a success over nothing after an error is a failure
09:00:00 backend !sync lost
09:01:05 backend !sync lost
syncs failed=2

=== a success over nothing without an error is empty, and ok clears it at once
09:00:00 backend !sync empty
09:01:05 backend !sync failed
09:02:10 backend !sync a 1.00
expect
09:00:00.003 PortfolioEmpty firing warning value=1 source=backend
09:02:10.003 PortfolioEmpty resolved warning
syncs ok=1 empty=1 failed=1

=== zero dollars with balances and an error is empty, not failed
09:00:00 backend: INFO <cache> Starting portfolio cache update - fetching ALL data from Crypto.com...
09:00:01 backend: ERROR <cache> Error fetching prices: timeout
09:00:02 backend: INFO <cache> Processing 3 account balances from Crypto.com...
09:00:03 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:00:03 PortfolioEmpty firing warning
syncs empty=1

=== an error of prices leaves a sync with an amount ok
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <cache> Error fetching prices: timeout
09:00:02 backend: INFO <cache> Processing 3 account balances from Crypto.com...
09:00:03 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $100.00
syncs ok=1

=== errors of reads, of orders and of the exchange sync are none of a refresh
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <cache> Error getting portfolio summary: boom
09:00:02 backend: ERROR <trade> Authentication failed for trigger orders: {'code': 40101, 'message': 'Authentication failure'}
09:00:03 backend: ERROR <trade> Error getting open orders: boom
09:00:04 backend: ERROR <sync> Error syncing balances: boom
09:00:05 backend: WARNING <trade> something else
09:00:06 backend: ERROR app.database: password authentication failed for user
09:00:07 backend: INFO <trade> Proxy returned 200
09:00:08 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:00:08 PortfolioEmpty firing warning
syncs empty=1

=== warnings of the broker about the proxy or authentication are errors
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: WARNING <trade> Proxy returned 401 - attempting failover to TRADE_BOT
09:00:02 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:01:00 backend: INFO <cache> Starting portfolio cache update
09:01:01 backend: WARNING <trade> API authentication failed: Authentication failure (code: 40101)
09:01:02 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
syncs failed=2

=== one failure in direct mode is told by five lines and counted once
09:00:00 backend: INFO <cache> Starting portfolio cache update - fetching ALL data from Crypto.com...
09:00:01 backend: WARNING <trade> API authentication failed: Authentication failure (code: 40101)
09:00:01.1 backend: ERROR <trade> API authentication failed: Authentication failure (code: 40101). Outbound IP: 203.0.113.77
09:00:01.2 backend: ERROR <trade> Error getting account balance: Crypto.com API authentication failed: Authentication failure (code: 40101). check key
09:00:01.3 backend: ERROR <cache> Crypto.com API authentication failed: Crypto.com API authentication failed: Authentication failure (code: 40101). check. Possible causes: Invalid API key/secret
09:00:01.4 backend: WARNING <sync> Failed to update portfolio cache, will try direct API call
09:00:01.5 backend: ERROR <cache> Error updating portfolio cache: Crypto.com API authentication failed
syncs failed=1

=== an ending line within five seconds belongs to the failure before, later it is its own
09:00:00 backend: ERROR <cache> No balance data received from Crypto.com
09:00:04 backend: ERROR <cache> Error updating portfolio cache: x
09:00:08.9 backend: ERROR <cache> Error updating portfolio cache: x
09:00:14 backend: ERROR <cache> Error updating portfolio cache: x
syncs failed=2

=== an ending line while another refresh is open ends that one
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: INFO <cache> Starting portfolio cache update
09:00:02 backend: ERROR <cache> No balance data received from Crypto.com
09:00:03 backend: ERROR <cache> No balance data received from Crypto.com
09:00:04 backend: ERROR <cache> Error updating portfolio cache: x
syncs failed=2

=== concurrent refreshes end first in first out
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <trade> Proxy returned status 502: {}
09:00:02 backend: INFO <cache> Starting portfolio cache update
09:00:03 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:00:04 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:00:04 PortfolioEmpty firing warning
syncs failed=1 empty=1

=== an error counts for every refresh that is open
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: INFO <cache> Starting portfolio cache update
09:00:02 backend: ERROR <trade> Error calling proxy: boom
09:00:10 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:00:20 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
syncs failed=2

=== refreshes of two containers are kept apart
09:00:00 backend[1]: INFO <cache> Starting portfolio cache update
09:00:01 backend[1]: INFO <cache> Portfolio cache updated successfully. Total USD: $7.00
syncs ok=1

=== without a start a refresh reaches back to the previous ending line
09:00:00 backend: INFO <cache> Processing 18 account balances from Crypto.com...
09:00:01 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $5.00
09:01:00 backend: ERROR <trade> Error calling proxy: boom
09:01:01 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:02:01 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:02:01 PortfolioEmpty firing warning
syncs ok=1 failed=1 empty=1

=== errors before a start are none of that refresh
09:00:00 backend: ERROR <trade> Error calling proxy: boom
09:00:01 backend: INFO <cache> Starting portfolio cache update
09:00:02 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:00:02 PortfolioEmpty firing warning
syncs empty=1

=== a traceback line that looks like an end is of no logger
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <sync> Error in portfolio update block: boom
| Traceback (most recent call last):
|   File "/app/app/services/portfolio_cache.py", line 12, in update
|     raise ValueError("Error updating portfolio cache: x")
| ValueError: Error updating portfolio cache: x
09:00:02 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $9.00
syncs ok=1

=== empty breaks the failure streak
09:00:00 backend !sync failed
09:01:00 backend !sync failed
09:02:00 backend !sync empty
09:03:00 backend !sync failed
09:04:00 backend !sync failed
expect
09:02:00.003 PortfolioEmpty firing warning
syncs failed=4 empty=1
portfolio_sync_failure_streak 2

=== triple lines of three workers raise nothing
09:00:00..09:20:00/65s backend !sync a 50,743.40
09:00:00.01..09:20:00/65s backend !sync a 50,743.40
09:00:00.02..09:20:00/65s backend !sync a 50,743.40
syncs ok=57

=== reads fill their histogram and gauges and prove no sync
09:00:00 backend: INFO <cache> Portfolio summary fetched in 0.011s: 18 balances, 17 with USD values
09:00:05 backend: INFO <cache> Portfolio summary fetched in 6.900s: 20 balances, 19 with USD values, total_assets=$1.00, total_borrowed=$0.00, net_value=$1.00
09:00:10 backend: WARNING <cache> ⚠️ Portfolio summary fetch took 6.900s - this is slow! Should be < 0.2 seconds.
syncs none
portfolio_read_duration_seconds_count 2
portfolio_read_duration_seconds_sum 6.911
portfolio_read_balances 20
portfolio_read_priced_balances 19
portfolio_total_usd absent

=== a source begins with its closed counters at zero
09:00:00 backend: nothing of note
09:00:00 proxy: nothing of note
syncs none
portfolio_syncs_total{outcome="ok"} 0
portfolio_sync_failure_streak 0
crypto_exchange_upstream_failure_streak 0
crypto_proxy_failed_exits_total 0
crypto_proxy_token_rejections_total 0
backend_failed_boots_total 0
crypto_proxy_starts_total 0
backend_starts_total 0
portfolio_read_duration_seconds_count 0
tocsin_alert_firing{alert="SourceDown",severity="critical"} 0
tocsin_alert_firing{alert="PortfolioSyncStale",severity="critical"} 0
tocsin_alert_firing{alert="PortfolioSyncStale",severity="warning"} 0
tocsin_log_gaps_total{source="backend"} 0
tocsin_event_near_misses_total{event="exchange_request"} 0

=== errors about orders by any of their names are none of a refresh
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <trade> Error in get_order_history: boom
09:00:02 backend: ERROR <trade> Proxy returned status 401: {'method': 'private/get-order-history', 'code': 40101}
09:00:03 backend: WARNING <trade> Proxy returned 401 for create-order - attempting failover
09:00:04 backend: ERROR <trade> createOrder failed: 306
09:00:05 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:00:05 PortfolioEmpty firing warning
syncs empty=1

=== a void line ends its refresh, with the errors of it
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <trade> Error calling proxy: boom
09:00:02 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $nan
09:01:00 backend: INFO <cache> Starting portfolio cache update
09:01:01 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:01:01 PortfolioEmpty firing warning
syncs empty=1

=== a new master forgets the refreshes that were open
09:00:00 backend: INFO <cache> Starting portfolio cache update
09:00:01 backend: ERROR <trade> Error calling proxy: boom
09:00:30 backend: [2026-03-14 09:00:30 +0000] [1] [INFO] Starting gunicorn 21.2.0
09:01:00 backend: INFO <cache> Starting portfolio cache update
09:01:01 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:01:01 PortfolioEmpty firing warning
syncs empty=1

=== the failure of one worker's refresh is an error of the other refreshes open
09:00:00 backend: INFO <cache> Starting portfolio cache update - fetching ALL data from Crypto.com...
09:00:01 backend: INFO <cache> Starting portfolio cache update - fetching ALL data from Crypto.com...
09:00:02 backend: ERROR <cache> Crypto.com API authentication failed: Authentication failure (code: 40101).
09:00:10 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
09:01:00 backend: INFO <cache> Starting portfolio cache update - fetching ALL data from Crypto.com...
09:01:01 backend: INFO <cache> Portfolio cache updated successfully. Total USD: $0.00
expect
09:01:01 PortfolioEmpty firing warning
syncs failed=2 empty=1
