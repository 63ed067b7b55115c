<?php
// php-memcached's round trips: php_memcached_round_trip.php text|binary HOST PORT, or a socket's path and 0.
[, $protocol, $host, $port] = $argv;
$checks = 0;
$lookalikes = "END\r\nVALUE other 0 5\r\nwrong\r\nHD\r\nSTORED\r\n";

function same(string $what, mixed $got, mixed $wanted): void {
    global $checks;
    $checks++;
    if ($got === $wanted) return;
    $shown = fn($value) => substr(json_encode($value) ?: '(bytes)', 0, 200);
    fwrite(STDERR, "$what: got {$shown($got)}, wanted {$shown($wanted)}\n");
    exit(1);
}

function client(array $options = []): Memcached {
    global $protocol, $host, $port;
    $client = new Memcached();
    $client->setOptions($options + [
        Memcached::OPT_BINARY_PROTOCOL => $protocol === 'binary',
        Memcached::OPT_COMPRESSION => false,
        Memcached::OPT_TCP_NODELAY => true,
        Memcached::OPT_CONNECT_TIMEOUT => 10000,
        Memcached::OPT_POLL_TIMEOUT => 10000,
    ]);
    $client->addServer($host, (int) $port);
    return $client;
}

$c = client();
same('flush', $c->flush(), true);
same('get, a miss', $c->get('nothing'), false);
same('its result code', $c->getResultCode(), Memcached::RES_NOTFOUND);
foreach ([0, 1, 100, 2048, 16384, 70000, 512 * 1024] as $size) {
    $value = substr(str_repeat($lookalikes, intdiv($size, strlen($lookalikes)) + 1), 0, $size);
    same("set of $size bytes", $c->set("size-$size", $value), true);
    same("get of $size bytes", $c->get("size-$size"), $value);
}
same('set of an array', $c->set('array', ['a' => 1, 'b' => [true, null]], 60), true);
same('get of an array (flags kept)', $c->get('array'), ['a' => 1, 'b' => [true, null]]);
same('get of an integer (flags kept)', [$c->set('integer', 42), $c->get('integer')], [true, 42]);

$many = [];
for ($n = 0; $n < 100; $n++) $many["many-$n"] = str_repeat((string) $n, $n);
same('setMulti', $c->setMulti($many), true);
same('getMulti', $c->getMulti(array_merge(array_keys($many), ['nothing', 'nobody'])), $many);
$extended = $c->get('many-7', null, Memcached::GET_EXTENDED);
same('cas', $c->cas($extended['cas'], 'many-7', 'swapped'), true);
same('cas, an old token', $c->cas($extended['cas'], 'many-7', 'again'), false);
same('its result code', $c->getResultCode(), Memcached::RES_DATA_EXISTS);
same('getDelayed', $c->getDelayed(['many-8', 'nothing', 'many-9'], true), true);
$fetched = $c->fetchAll();
sort($fetched);
same('fetchAll', array_column($fetched, 'value', 'key'), ['many-8' => $many['many-8'], 'many-9' => $many['many-9']]);

same('add', $c->add('added', '1'), true);
same('add, there already', $c->add('added', '2'), false);
same('replace', $c->replace('added', '3'), true);
same('replace, no item', $c->replace('nothing', '3'), false);
same('append', $c->append('added', '4'), true);
same('prepend', $c->prepend('added', '2'), true);
same('get after append and prepend', $c->get('added'), '234');

same('set of a counter', $c->set('counter', 10), true);
same('increment', $c->increment('counter', 5), 15);
same('decrement', $c->decrement('counter', 20), 0);
same('increment, no item', $c->increment('nothing', 1), false);
if ($protocol === 'binary') same('increment with a first value', $c->increment('fresh', 1, 100), 100);
same('touch', $c->touch('counter', 60), true);
same('touch, no item', $c->touch('nothing', 60), false);
same('delete', $c->delete('counter'), true);
same('delete, no item', $c->delete('counter'), false);
same('deleteMulti', $c->deleteMulti(['many-1', 'many-2']), ['many-1' => true, 'many-2' => true]);

foreach (['noreply' => Memcached::OPT_NOREPLY, 'buffered' => Memcached::OPT_BUFFER_WRITES] as $name => $option) {
    $quiet = client([$option => true]);
    for ($n = 0; $n < 200; $n++) $quiet->set("$name-$n", "value $n");
    // Another connection sees what this one wrote quietly only once this one has had an answer; a read brings that.
    same("get on the same connection, $name", $quiet->get("$name-199"), 'value 199');
    $quiet->quit();
    same("get from another, $name", [$c->get("$name-0"), $c->get("$name-150")], ['value 0', 'value 150']);
}

same('getVersion', str_starts_with(current($c->getVersion()), '1.'), true);
same('getStats', current($c->getStats())['pid'] > 0, true);
same('set after stats', [$c->set('after', 'x'), $c->get('after')], [true, 'x']);
same('flush', $c->flush(), true);
same('get after flush', $c->get('after'), false);
same('quit', $c->quit(), true);
echo "$checks checks passed\n";
