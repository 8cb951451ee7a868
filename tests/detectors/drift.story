=== lines that carry the marker and match nothing are a format that drifted
rule
  severity = "warning"
  type = "drift"
  event = "check"
  count = 3
  window = "10m"
  summary = "{{value}} lines of checks were not understood in {{window}}"
log
  09:00:00 check queue ok 3
  09:01:00 check queue is fine (3)
  09:02:00 check queue is fine (4)
  09:02:30 another line altogether
  09:03:00 check queue is fine (4)
until 10:00:00
expect
  09:03:00 firing warning value=3 summary=3 lines of checks were not understood in 10m
  09:11:00 resolved warning

=== lines that are understood are no drift
rule
  severity = "warning"
  type = "drift"
  event = "check"
  count = 1
  window = "10m"
log
  09:00:00 check queue ok 3
  09:01:00 something else
until 10:00:00
expect

=== a block that is pushed out by a newer one is no drift
rule
  severity = "warning"
  type = "drift"
  event = "job"
  count = 1
  window = "10m"
log
  09:00:00 job starts
  09:01:00 job starts
  09:02:00 job is done
  09:03:00 job ended well
until 10:00:00
expect
  09:03:00 firing warning value=1
  09:13:00 resolved warning
