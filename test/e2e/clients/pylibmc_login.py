"""pylibmc, in binary, before and after memcached has been started again.

pylibmc_login.py PORT [USER PASSWORD]: prints "served", waits for a line, and prints "served again" when it is.
"""
import sys
import time

import pylibmc

port, login = sys.argv[1], sys.argv[2:]
who = {"username": login[0], "password": login[1]} if login else {}
client = pylibmc.Client([f"127.0.0.1:{port}"], binary=True, behaviors={"retry_timeout": 1, "remove_failed": 0}, **who)


def is_served(value):
    return client.set("from-pylibmc", value) and client.get("from-pylibmc") == value


try:
    print("served" if is_served("one") else "not served", flush=True)
except pylibmc.Error as error:
    print("refused" if "AUTHENTICATION FAILURE" in str(error) else error, flush=True)
    sys.exit()
sys.stdin.readline()
while True:
    try:
        if is_served("two"):
            break
    except pylibmc.Error:
        pass
    time.sleep(0.05)
print("served again", flush=True)
