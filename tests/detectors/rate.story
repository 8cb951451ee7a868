=== failures without a success in the window
rule
  severity = "warning"
  type = "rate"
  event = "check"
  by = ["name"]
  outcomes = ["failed"]
  without = ["ok"]
  count = 3
  window = "10m"
log
  09:00:00 check api ok
  09:01:00 check api failed
  09:02:00 check api failed
  09:03:00 check api failed
  09:08:00 check api idle
  09:12:00 check api ok
until 10:00:00
expect
  09:10:00 firing warning value=3 name=api
  09:11:00 resolved warning name=api
