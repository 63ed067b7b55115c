<?php
// php-memcached, in binary, before and after memcached has been started again.
// php_memcached_login.php PORT [USER PASSWORD]: prints "served", waits for a line, and prints "served again" when it is.

$client = new Memcached();
$client->setOption(Memcached::OPT_BINARY_PROTOCOL, true);
$client->setOption(Memcached::OPT_RETRY_TIMEOUT, 1);
if ($argc > 2) {
    $client->setSaslAuthData($argv[2], $argv[3]);
}
$client->addServer('127.0.0.1', (int) $argv[1]);

$isServed = fn (string $value): bool => $client->set('from-php', $value) && $client->get('from-php') === $value;

if (!$isServed('one')) {
    echo str_contains($client->getResultMessage(), 'AUTHENTICATION FAILURE') ? "refused\n" : "not served\n";
    exit;
}
echo "served\n";
fgets(STDIN);
while (!$isServed('two')) {
    usleep(50_000);
}
echo "served again\n";
