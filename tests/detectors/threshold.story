=== a value beyond the limit fires, and ends where it is good again
rule
  severity = "warning"
  type = "threshold"
  event = "check"
  field = "amount"
  by = ["name"]
  above = 100
  clear_at = 80
  summary = "{{name}} is at {{value}}, more than {{limit}}"
log
  09:00:00 check queue ok 100
  09:00:10 check queue ok 100.5
  09:00:20 check disk ok 12
  09:00:30 check queue ok 90
  09:00:40 check queue ok 140
  09:00:50 check queue ok 80
  09:01:00 check queue ok 95
until 09:10:00
expect
  09:00:10 firing warning value=100.5 name=queue summary=queue is at 100.50, more than 100
  09:00:50 resolved warning name=queue

=== a value that dips below only for a moment does not fire when it must hold
rule
  severity = "critical"
  type = "threshold"
  event = "check"
  field = "amount"
  below = 10
  for = "1m"
log
  09:00:00 check balance ok 9
  09:00:30 check balance ok 11
  09:01:00 check balance ok 8
  09:01:30 check balance ok 7
until 09:05:00
expect
  09:02:00 firing critical value=7

=== of a value that nobody tells any more nothing is known
rule
  severity = "warning"
  type = "threshold"
  event = "check"
  field = "amount"
  above = 5
  forget_after = "10m"
log
  09:00:00 check queue ok 6
  09:04:00 check queue ok
until 10:00:00
expect
  09:00:00 firing warning value=6
  09:10:00 resolved warning

=== only the outcomes that are named are looked at
rule
  severity = "warning"
  type = "threshold"
  event = "check"
  field = "amount"
  outcomes = ["ok"]
  below = 1
log
  09:00:00 check balance failed 0
  09:00:10 check balance ok 0
  09:00:20 check balance failed 7
  09:00:30 check balance ok 1
until 09:01:00
expect
  09:00:10 firing warning value=0
  09:00:30 resolved warning
