=== one incident with its symptoms: what follows is inhibited
09:00:00 backend !sync a 50.00
09:00:10..09:20:00/20s proxy !request private/user-balance 401 40101
09:01:05..09:20:00/65s backend !sync failed
expect
09:00:50.003 ExchangeAuthFailing firing critical
09:01:10.003 ExchangeAuthUnstable firing warning by=ExchangeAuthFailing
09:03:15 PortfolioSyncFailing firing warning by=ExchangeAuthFailing
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing
09:15:00.003 PortfolioSyncStale firing critical by=ExchangeAuthFailing

=== an unstable method is not inhibited by another method's failure
09:00:00..09:00:02/1s proxy !request private/a 401 40101
09:01:00 proxy !request private/b 401 40101
09:01:01 proxy !request private/b 200 0
09:01:10 proxy !request private/b 401 40101
09:01:11 proxy !request private/b 200 0
09:01:20 proxy !request private/b 401 40101
09:01:21 proxy !request private/b 200 0
09:01:30 proxy !request private/b 401 40101
expect
09:00:02.003 ExchangeAuthFailing firing critical method=private/a
09:01:30.003 ExchangeAuthUnstable firing warning method=private/b

=== an alert that no longer speaks inhibits nothing
09:00:00 backend !sync a 50.00
09:00:00..09:00:20/10s proxy !request private/a 401 40101
until 09:16:00
expect
09:00:20.003 ExchangeAuthFailing firing critical
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing
09:15:00.003 PortfolioSyncStale firing critical

=== at exactly ten minutes an inhibitor no longer speaks
09:00:00 backend !sync a 50.00
09:02:00 proxy !request private/a 401 40101
09:03:00 proxy !request private/a 401 40101
09:04:59.9 proxy !request private/a 401 40101
until 09:16:00
expect
09:04:59.903 ExchangeAuthFailing firing critical
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing
09:15:00.003 PortfolioSyncStale firing critical

=== an inhibitor within ten minutes speaks
09:00:00 backend !sync a 50.00
09:02:00 proxy !request private/a 401 40101
09:03:00 proxy !request private/a 401 40101
09:05:00.1 proxy !request private/a 401 40101
until 09:16:00
expect
09:05:00.103 ExchangeAuthFailing firing critical
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing
09:15:00.003 PortfolioSyncStale firing critical by=ExchangeAuthFailing

=== the escalation asks anew who inhibits
09:00:00 backend !sync a 50.00
09:09:00..09:09:20/10s proxy !request private/a 401 40101
until 09:16:00
expect
09:08:00.003 PortfolioSyncStale firing warning
09:09:20.003 ExchangeAuthFailing firing critical
09:15:00.003 PortfolioSyncStale firing critical by=ExchangeAuthFailing

=== on one entry the inhibitor goes before what it inhibits
09:00:00 proxy !request private/a 200 0
09:00:01 proxy !request private/a 401 40101
09:00:02 proxy !request private/a 200 0
09:00:03 proxy !request private/a 401 40101
09:00:04 proxy !request private/a 401 40101
09:00:05 proxy !request private/a 200 0
09:00:06 proxy !request private/a 401 40101
expect
09:00:06.003 ExchangeAuthUnstable firing warning
until +1s

=== the third in a row that is also the fourth of the window: the failing one inhibits
09:00:00 proxy !request private/a 401 40101
09:00:02 proxy !request private/a 200 0
09:00:03 proxy !request private/a 401 40101
09:00:04 proxy !request private/a 401 40101
09:00:05 proxy !request private/a 401 40101
expect
09:00:05.003 ExchangeAuthFailing firing critical
09:00:05.003 ExchangeAuthUnstable firing warning by=ExchangeAuthFailing

=== of two inhibitors the first of the table is named
09:00:00 backend !sync a 50.00
09:05:00..09:05:20/10s proxy !request private/a 401 40101
09:05:01..09:05:21/10s backend: [2026-03-14 09:00:00 +0000] [1] [ERROR] Worker failed to boot.
until 09:08:01
expect
09:05:20.003 ExchangeAuthFailing firing critical
09:05:21 BackendCrashLooping firing critical
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing

=== inhibition does not change the firing gauge
09:00:00 backend !sync a 50.00
09:05:00..09:05:20/10s proxy !request private/a 401 40101
until 09:08:01
expect
09:05:20.003 ExchangeAuthFailing firing critical
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing
tocsin_alert_firing{alert="PortfolioSyncStale",severity="warning"} 1
tocsin_alert_firing{alert="PortfolioSyncStale",severity="critical"} 0

=== after an escalation only the present severity is one
09:00:00 backend !sync a 50.00
until 09:15:01
expect
09:08:00.003 PortfolioSyncStale firing warning
09:15:00.003 PortfolioSyncStale firing critical
tocsin_alert_firing{alert="PortfolioSyncStale",severity="warning"} 0
tocsin_alert_firing{alert="PortfolioSyncStale",severity="critical"} 1

=== an empty sync under an auth failure is a symptom
09:05:00..09:05:20/10s proxy !request private/a 401 40103
09:05:30 backend !sync empty
expect
09:05:20.003 ExchangeAuthFailing firing critical
09:05:30.003 PortfolioEmpty firing warning by=ExchangeAuthFailing

=== a good event is counted and keeps the inhibitor speaking
09:00:00 backend !sync a 50.00
09:00:00..09:00:20/10s proxy !request private/a 401 40101
09:12:00 proxy !request private/a 200 0
until 09:13:00
expect
09:00:20.003 ExchangeAuthFailing firing critical
09:08:00.003 PortfolioSyncStale firing warning by=ExchangeAuthFailing

=== rate limits and upstream failures inhibit nothing
09:00:00 backend !sync a 50.00
09:07:00..09:07:20/10s proxy !request private/a timeout
until 09:08:01
expect
09:07:20.003 ExchangeUpstreamFailing firing warning
09:08:00.003 PortfolioSyncStale firing warning
