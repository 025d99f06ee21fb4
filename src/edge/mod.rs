//! Threads, sockets and files: no rules.
