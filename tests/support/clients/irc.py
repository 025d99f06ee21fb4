"""A client made of the library `irc`: it does what it reads, and prints each event that it is given."""

import functools
import ssl
import sys
import threading

import irc.client
import irc.connection

port, nick, over = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def obey():
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "join":
            connection.join(rest)
        elif word == "say":
            connection.privmsg(*rest.split(" ", 1))
        else:
            connection.quit()


def show(connection, event):
    print(event.type, event.source, event.target, event.arguments, event.tags)


context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
wrap = functools.partial(context.wrap_socket, server_hostname="hall.lan") if over == "tls" else (lambda s: s)
reactor = irc.client.Reactor()
connection = reactor.server()
connection.add_global_handler("all_events", show)
connection.connect("127.0.0.1", port, nick, connect_factory=irc.connection.Factory(wrapper=wrap))
threading.Thread(target=obey, daemon=True).start()
while connection.is_connected():
    reactor.process_once(0.1)
