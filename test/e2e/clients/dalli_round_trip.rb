# ruby-dalli's round trips: dalli_round_trip.rb binary|meta SERVER, where SERVER is host:port or a socket's path.
require 'dalli'

protocol, server = ARGV
$checks = 0
def same(what, got, wanted)
  $checks += 1
  abort "#{what}: got #{got.inspect[0, 200]}, wanted #{wanted.inspect[0, 200]}" unless got == wanted
end

Dalli.logger.level = Logger::ERROR
options = { socket_timeout: 10, down_retry_delay: 0, protocol: protocol.to_sym, raise_errors: true }
c = Dalli::Client.new(server, options)
lookalikes = "END\r\nVALUE other 0 5\r\nwrong\r\nHD\r\nSTORED\r\n".b
raw = { raw: true }

same 'flush', c.flush.all?, true
same 'get, a miss', c.get('nothing'), nil
[0, 1, 100, 2048, 16_384, 70_000, 512 * 1024].each do |size|
  value = (lookalikes * (size / lookalikes.bytesize + 1))[0, size]
  same "set of #{size} bytes", !!c.set("size-#{size}", value, 60, raw), true
  same "get of #{size} bytes", c.get("size-#{size}", raw).b, value
end
same 'objects (flags kept)', [!!c.set('object', { 'a' => [1, nil] }), c.get('object')], [true, { 'a' => [1, nil] }]

many = (0...100).to_h { |n| ["many-#{n}", n.to_s * n] }
c.multi { many.each { |key, value| c.set(key, value) } }
same 'get_multi after quiet sets', c.get_multi(many.keys + %w[nothing nobody]), many
same 'cas', !!c.cas('many-7') { |value| "#{value}!" }, true
same 'get after cas', c.get('many-7'), "#{many['many-7']}!"
same 'cas, no item', c.cas('nothing') { |_| 'x' }, nil

same 'add', !!c.add('added', '1', 60, raw), true
same 'add, there already', !!c.add('added', '2', 60, raw), false
same 'replace', [c.replace('added', '3', 60, raw), c.get('added', raw)].last, '3'
# What replace returns differs between versions (0, false, nil).
same 'replace, no item', [c.replace('nothing', '3', 60, raw), c.get('nothing')].last, nil
same 'append', c.append('added', '4'), true
same 'prepend', c.prepend('added', '2'), true
same 'get after append and prepend', c.get('added', raw), '234'

same 'incr with a first value', c.incr('counter', 5, 60, 10), 10
same 'incr', c.incr('counter', 5), 15
same 'decr', c.decr('counter', 20), 0
same 'incr, no item', c.incr('nothing', 1), nil
same 'touch', !!c.touch('counter', 60), true
same 'touch, no item', !!c.touch('nothing', 60), false
same 'gat', c.gat('added', 60), '234'
same 'delete', !!c.delete('counter'), true
same 'delete, no item', !!c.delete('counter'), false
c.multi { %w[many-1 many-2 nothing].each { |key| c.delete(key) } }
same 'get_multi after quiet deletes', c.get_multi('many-1', 'many-2', 'many-3'), { 'many-3' => many['many-3'] }

same 'version', c.version.values.first[0, 2], '1.'
same 'stats', c.stats.values.first['pid'].to_i.positive?, true
same 'set after stats', [!!c.set('after', 'x'), c.get('after')], [true, 'x']
same 'flush', c.flush.all?, true
same 'get after flush', c.get('after'), nil
c.close
puts "#{$checks} checks passed"
