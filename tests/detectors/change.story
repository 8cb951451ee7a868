=== another value is told once, the first one and the same one are not
rule
  severity = "info"
  type = "change"
  event = "check"
  field = "version"
  by = ["name"]
  keep_firing_for = "5m"
log
  09:00:00 check api ok v1.4.0
  09:00:10 check api ok v1.4.0
  09:00:20 check web ok v7
  09:01:00 check api ok v1.5.0
  09:02:00 check api ok v1.5.0
  09:03:00 check api ok
until 10:00:00
expect
  09:01:00 firing info value=1 name=api
  09:06:00 resolved info name=api

=== changes while it is still shown are the same incident
rule
  severity = "warning"
  type = "change"
  event = "check"
  field = "version"
  keep_firing_for = "5m"
log
  09:00:00 check api ok v1
  09:01:00 check api ok v2
  09:04:00 check api ok v1
  09:20:00 check api ok v2
until 10:00:00
expect
  09:01:00 firing warning value=1
  09:09:00 resolved warning
  09:20:00 firing warning value=1
  09:25:00 resolved warning

=== a change that is not kept ends in the moment it began
rule
  severity = "warning"
  type = "change"
  event = "check"
  field = "version"
log
  09:00:00 check api ok v1
  09:01:00 check api ok v2
until 10:00:00
expect
  09:01:00 firing warning value=1
  09:01:00 resolved warning
