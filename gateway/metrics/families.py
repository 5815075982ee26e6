"""Every metric the gateway has: name, kind, labels, help. What counts them is elsewhere.

docs/admin/monitoring.md says what each means for an admin.

Labels are names from the configuration or words of a fixed list, never addresses or domains: their number is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "summary", "histogram"]

TRANSACTION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
LAG_BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. `name` is without the suffix that its kind brings (`_total`, `_sum`, `_count`, `_bucket`).

    `buckets`: upper bounds of a histogram in the unit of the name. `joined`: how a gauge of several processes is one.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()
    joined: Literal["sum", "max"] = "sum"


_FAMILIES = (
    Family("stellwerk_messages", "counter", ("listener", "verdict"),
           "Transactions by what the client heard: accepted, deferred, refused, or abandoned before the end of data."),
    Family("stellwerk_recipients", "counter", ("listener", "verdict"),
           "Recipients by what the client heard about them: accepted, deferred, refused (at RCPT too)."),
    Family("stellwerk_message_bytes", "counter", ("listener",), "Octets of message data received."),
    Family("stellwerk_transaction_seconds", "histogram", ("listener",),
           "From the end of data to the reply to it.", TRANSACTION_BUCKETS),
    Family("stellwerk_connections_open", "gauge", ("listener",), "Connections of clients that are open now."),
    Family("stellwerk_connections_accepted", "counter", ("listener",), "Connections that were let in."),
    Family("stellwerk_connections_refused", "counter", ("listener", "reason"),
           "Connections that were turned away at once: limit, proxy."),
    Family("stellwerk_sessions_ended", "counter", ("listener", "reason"), "Sessions that the gateway broke off."),
    Family("stellwerk_plugin_calls", "counter", ("plugin", "hook"), "Calls of a plugin's hook."),
    Family("stellwerk_plugin_failures", "counter", ("plugin", "hook"),
           "Calls that raised, took too long or returned nonsense, or were not made because the breaker was open."),
    Family("stellwerk_plugin_seconds", "counter", ("plugin", "hook"), "Time spent waiting for a plugin's hook."),
    Family("stellwerk_plugin_breaker_open", "gauge", ("plugin", "hook"),
           "1 while a hook is not called, since it failed too often in a row.", joined="max"),
    Family("stellwerk_next_hop_transaction_seconds", "summary", ("next_hop",),
           "Transactions with a next hop, waiting for a connection included."),
    Family("stellwerk_next_hop_copies", "counter", ("next_hop", "outcome"),
           "Copies handed to a next hop: done, refused, deferred, unknown."),
    Family("stellwerk_next_hop_connections", "gauge", ("next_hop", "state"), "Connections to a next hop: busy, idle."),
    Family("stellwerk_next_hop_down", "gauge", ("next_hop",),
           "1 while the last attempt to connect to a next hop failed.", joined="max"),
    Family("stellwerk_store_commit_seconds", "summary", ("role",), "Transactions of the store's writer."),
    Family("stellwerk_store_writes", "counter", ("role",), "Units committed; with the commits' count, the group size."),
    Family("stellwerk_store_rollbacks", "counter", ("role",), "Transactions of the writer that were rolled back."),
    Family("stellwerk_store_expired", "counter", ("role",), "Units that were not taken in time: their mail heard 451."),
    Family("stellwerk_store_lost_writes", "counter", ("role",), "Writes nobody waited for that were given up."),
    Family("stellwerk_store_queue", "gauge", ("role",), "Units waiting for the writer."),
    Family("stellwerk_store_failing", "gauge", ("role",), "1 while the last commit failed.", joined="max"),
    Family("stellwerk_dns_lookups", "counter", ("event",),
           "DNS responses by rcode, and timeout, unreachable, malformed, tcp, cached, joined."),
    Family("stellwerk_dns_cached_answers", "gauge", (), "Answers in the DNS caches."),
    Family("stellwerk_event_loop_lag_seconds", "histogram", ("role",),
           "How late a timer fired, looked at once a second.", LAG_BUCKETS),
    Family("stellwerk_process_cpu_seconds", "counter", ("role",), "CPU time, user and system."),
    Family("stellwerk_process_resident_memory_bytes", "gauge", ("role",), "Resident memory."),
    Family("stellwerk_process_open_fds", "gauge", ("role",), "Open file descriptors."),
    Family("stellwerk_log_lines_dropped", "counter", ("role",), "Log lines nobody took: standard error was blocked."),
    Family("stellwerk_traces_lost", "counter", ("role",), "Stories that could not be written."),
    Family("stellwerk_jobs_run", "counter", ("outcome",), "Attempts at jobs of the outbox: done, retried, dead."),
    Family("stellwerk_domain_looks", "counter", ("outcome",),
           "What looks at domains' DNS came to: pass, fail, temp, nxdomain, null_mx, doubted."),
    # From here on the desk alone knows them.
    Family("stellwerk_build_info", "gauge", ("version", "python"), "Always 1."),
    Family("stellwerk_processes", "gauge", ("role",), "Processes that are alive and not standing still."),
    Family("stellwerk_processes_wanted", "gauge", ("role",), "Processes that the configuration asks for."),
    Family("stellwerk_process_restarts", "counter", ("role",), "Processes that died and were replaced."),
    Family("stellwerk_generation", "gauge", (), "Number of the running generation; each reload makes a new one."),
    Family("stellwerk_reloads_failed", "counter", (), "Reloads that were not taken over."),
    Family("stellwerk_start_time_seconds", "gauge", (), "POSIX time of the start of the gateway."),
    Family("stellwerk_state_free_bytes", "gauge", ("directory",), "Free space where state and spool are."),
    Family("stellwerk_journal_open_entries", "gauge", (),
           "Messages with recipients that wait for a retry or for the client's confirmation."),
    Family("stellwerk_journal_deferred_steps", "gauge", (), "Steps that wait for a retry of the sender."),
    Family("stellwerk_journal_unknown_steps", "gauge", (),
           "Steps whose outcome nobody knows: a retry may make a duplicate."),
    Family("stellwerk_journal_oldest_open_seconds", "gauge", (), "Age of the oldest open entry."),
    Family("stellwerk_outbox_jobs", "gauge", ("state",), "Jobs: due (tries to come included), dead; held mail."),
    Family("stellwerk_outbox_oldest_due_seconds", "gauge", (), "How long the oldest job has been due and is not done."),
    Family("stellwerk_outbox_oldest_held_seconds", "gauge", (), "How long the oldest held mail waits for a decision."),
    Family("stellwerk_domains", "gauge", ("state",), "Domains and claims of domains by state."),
    Family("stellwerk_store_read_seconds", "gauge", (), "How long reading the numbers of journal and outbox took."),
    Family("stellwerk_store_read_timestamp_seconds", "gauge", (), "POSIX time at which they were last read."),
)  # fmt: skip

FAMILIES = {family.name: family for family in _FAMILIES}
