"""pymemcache's round trips: pymemcache_round_trip.py HOST PORT [CA CERT KEY]. With certificates: mutual TLS."""
import ssl
import sys

from pymemcache.client.base import Client

checks = 0


def same(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f'{what}: got {got!r:.200}, wanted {wanted!r:.200}')


host, port, *files = sys.argv[1:]
tls = None
if files:
    tls = ssl.create_default_context(cafile=files[0])
    tls.load_cert_chain(files[1], files[2])


def connect(**options):
    return Client((host, int(port)), tls_context=tls, timeout=10, connect_timeout=10, no_delay=True, **options)


c = connect(default_noreply=False)
lookalikes = b'END\r\nVALUE other 0 5\r\nwrong\r\nHD\r\nSTORED\r\n'
same('flush', c.flush_all(), True)
same('get, a miss', c.get('nothing'), None)
for size in (0, 1, 100, 2048, 16384, 70000, 512 * 1024):
    value = (lookalikes * (size // len(lookalikes) + 1))[:size]
    same(f'set of {size} bytes', c.set(f'size-{size}', value), True)
    same(f'get of {size} bytes', c.get(f'size-{size}'), value)
same('set with flags and expiry', c.set('flagged', b'v', expire=60, flags=7), True)

many = {f'many-{n}': b'%d' % n * n for n in range(100)}
same('set_many', c.set_many(many), [])
same('get_many, half of it misses', c.get_many([f'many-{n}' for n in range(200)]), many)
value, token = c.gets('many-7')
same('gets', value, many['many-7'])
same('cas', c.cas('many-7', b'swapped', token), True)
same('cas, an old token', c.cas('many-7', b'again', token), False)
same('cas, no item', c.cas('nothing', b'x', token), None)
same('gets_many', sorted(c.gets_many(['many-7', 'many-8', 'nothing'])), ['many-7', 'many-8'])

same('add', c.add('added', b'1'), True)
same('add, there already', c.add('added', b'2'), False)
same('replace', c.replace('added', b'3'), True)
same('replace, no item', c.replace('nothing', b'3'), False)
same('append', c.append('added', b'4'), True)
same('prepend', c.prepend('added', b'2'), True)
same('get after append and prepend', c.get('added'), b'234')
same('append, no item', c.append('nothing', b'4'), False)

same('set of a counter', c.set('counter', b'10'), True)
same('incr', c.incr('counter', 5), 15)
same('decr', c.decr('counter', 20), 0)
same('incr, no item', c.incr('nothing', 1), None)
same('incr past 64 bits', (c.set('counter', b'18446744073709551615'), c.incr('counter', 1)), (True, 0))
same('touch', c.touch('counter', 60), True)
same('touch, no item', c.touch('nothing', 60), False)
same('delete', c.delete('counter'), True)
same('delete, no item', c.delete('counter'), False)
same('delete_many', c.delete_many(['many-1', 'many-2']), True)
same('get_many after delete_many', c.get_many(['many-1', 'many-2', 'many-3']), {'many-3': many['many-3']})

n = connect(default_noreply=True)
for i in range(200):
    n.set('quiet', b'%d' % i)
    n.incr('quiet', 1, noreply=True)
    n.append('quiet', b'!')
same('get after noreply', n.get('quiet'), b'200!')
n.delete('quiet')
same('get after delete noreply', n.get('quiet'), None)

same('version', c.version()[:2], b'1.')
same('stats', c.stats()[b'pid'] > 0, True)
same('stats settings', b'maxbytes' in c.stats('settings'), True)
same('set after stats', (c.set('after', b'x'), c.get('after')), (True, b'x'))
same('flush', c.flush_all(), True)
same('get after flush', c.get('after'), None)
n.quit()
c.close()
print(f'{checks} checks passed')
