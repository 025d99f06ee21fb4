"""A client made of `irctokens` and `ircstates`: it does what it reads, and prints what it takes to be so after each line."""

import socket
import ssl
import sys
import threading

import ircstates
import irctokens

port, nick, over = int(sys.argv[1]), sys.argv[2], sys.argv[3]
link = socket.create_connection(("127.0.0.1", port))
if over == "tls":
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    link = context.wrap_socket(link, server_hostname="hall.lan")


def send(command, *params):
    link.sendall((irctokens.build(command, list(params)).format() + "\r\n").encode())


def obey():
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "join":
            send("JOIN", rest)
        elif word == "say":
            send("PRIVMSG", *rest.split(" ", 1))
        else:
            send("QUIT")


send("NICK", nick)
send("USER", nick, "0", "*", nick)
threading.Thread(target=obey, daemon=True).start()
server = ircstates.Server("hall")
while received := link.recv(4096):
    for line in server.recv(received):
        if line.command == "PING":
            send("PONG", *line.params)
        server.parse_tokens(line)
        print(line.format())
        for channel in server.channels.values():
            print(channel.name, "has", sorted(channel.users), "and the topic", channel.topic)
