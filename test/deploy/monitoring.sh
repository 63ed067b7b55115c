#!/usr/bin/env bash
# The alerts in config/monitoring/, as Prometheus itself reads them.
. "$(dirname "$0")/common.sh"
need prometheus promtool
check 'Prometheus takes config/monitoring/memseal.rules.yml' promtool check rules "$P/config/monitoring/memseal.rules.yml"
alert() { cd "$P/test/deploy" && promtool test rules memseal.rules.test.yml; }
check 'and its alerts come when they should, and end' alert
