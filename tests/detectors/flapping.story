=== turns from good to bad and back are counted, repetitions are not
rule
  severity = "warning"
  type = "flapping"
  event = "check"
  by = ["name"]
  bad = ["failed"]
  good = ["ok"]
  count = 4
  window = "10m"
  summary = "{{name}} turned {{value}} times in {{window}}"
log
  09:00:00 check link ok
  09:00:30 check link ok
  09:01:00 check link failed
  09:01:30 check link failed
  09:02:00 check link ok
  09:02:30 check link idle
  09:03:00 check link failed
  09:03:30 check other failed
  09:04:00 check link ok
until 10:00:00
expect
  09:04:00 firing warning value=4 name=link summary=link turned 4 times in 10m
  09:11:00 resolved warning name=link

=== one who fails all the time does not flap
rule
  severity = "warning"
  type = "flapping"
  event = "check"
  bad = ["failed"]
  good = ["ok"]
  count = 2
  window = "10m"
log
  09:00:00 check link ok
  09:00:10 check link failed
  09:00:20 check link failed
  09:00:30 check link failed
  09:20:00 check link ok
until 10:00:00
expect
