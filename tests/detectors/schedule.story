=== a nightly run that did not come is told after its grace, and ends when one comes
rule
  severity = "critical"
  type = "schedule"
  event = "check"
  good = ["ok"]
  cron = "0 3 * * *"
  grace = "30m"
  summary = "no good run for {{age}} since it was due"
log
  03-14T02:00:00 check backup idle
  03-14T03:10:00 check backup ok
  03-15T03:05:00 check backup failed
  03-15T07:00:00 check backup ok
  03-16T03:20:00 check backup ok
until 03-16T12:00:00
expect
  03-15T03:30:00 firing critical value=1800 summary=no good run for 30m since it was due
  03-15T07:00:00 resolved critical

=== a run that comes late serves for those it overtook
rule
  severity = "warning"
  type = "schedule"
  event = "check"
  cron = "*/15 * * * *"
  grace = "20m"
log
  09:01:00 check sync ok
  09:33:00 check sync ok
  10:00:30 check sync ok
until 10:40:00
expect
  10:35:00 firing warning value=1200

=== the hour is that of its place
rule
  severity = "warning"
  type = "schedule"
  event = "check"
  cron = "0 3 * * MON-FRI"
  timezone = "America/New_York"
  grace = "1h"
log
  03-13T06:00:00 check report ok
  03-13T07:30:00 check report ok
until 03-16T12:00:00
expect
  03-16T08:00:00 firing warning value=3600

=== a monitor that starts on an empty log expects only what is due after its start
rule
  severity = "warning"
  type = "schedule"
  event = "check"
  good = ["ok"]
  cron = "0 3 * * *"
  grace = "30m"
log
  04:00:00 check backup idle
until 23:00:00
expect

=== a good line from before the hour that comes late ends nothing
rule
  severity = "critical"
  type = "schedule"
  event = "check"
  good = ["ok"]
  cron = "0 3 * * *"
  grace = "30m"
log
  03-14T02:00:00 check backup idle
  03-14T03:10:00 check backup ok
  03-15T04:00:00 check sync idle
  03-15T02:00:00 check backup ok
  03-15T07:00:00 check backup ok
until 03-15T12:00:00
expect
  03-15T03:30:00 firing critical value=1800
  03-15T07:00:00 resolved critical
