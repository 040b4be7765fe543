//! What the tests share: [`fakes`] (servers that misbehave, sockets with a deadline), [`programs`]
//! (runs of the two programs) and [`system`] (signals, namespaces, what is skipped).
//!
//! The promises of the crate's page, and the tests that prove them:
//!
//! | promise | tests |
//! |---|---|
//! | 1. UDP answers | `udp_server.rs`: `datagrams_of_every_size`, `an_answer_that_outgrows_a_datagram_is_not_sent`; `client.rs`: `the_longest_line` |
//! | 2. No answers to servers | `src/udp/server.rs`: `only_clients_are_answered`; `udp_server.rs`: `its_own_port_gets_no_answer` |
//! | 3. TCP answers | `transform.rs`; `tcp_server.rs`: `a_stream_is_answered_at_once_and_whole`; `client.rs`: `every_byte_of_stdin` |
//! | 4. The server goes on | `udp_server.rs`, `tcp_server.rs`: those of a failing receive, a failing accept and a resetting peer; `server.rs`: `a_shortage_of_descriptors_ends`, `stdout_and_stderr_closed_or_full` |
//! | 5. It is bounded | `tcp_server.rs`: `at_most_n_connections_and_the_next_is_served_when_one_ends`, `a_silent_a_greedy_and_a_resetting_peer_hold_no_thread_for_long`; `server.rs`: `memory_is_fixed`, `an_idle_connection_makes_room` |
//! | 6. The client ends | `src/tcp/pipe/outcome.rs`: `what_an_end_means`; `src/addresses.rs`; `tcp_client.rs`, `tcp_pipe.rs`, `udp_client.rs`, `client.rs`, `terminal.rs` |
//! | 7. Answers belong to their lines | `udp_client.rs`: `lost_doubled_and_late_datagrams`, `the_last_64_ports_are_kept`, `a_strangers_datagram_is_not_an_answer`; `client.rs`: `the_own_port_is_never_the_servers` |
//! | 8. Any amount of input | `tcp_pipe.rs`: `much_input_flows_through`; `client.rs`: `a_line_of_128_megabytes_in_constant_memory` |
//! | 9. The textbook's programs | `textbook.rs` |

#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test file takes what it needs"
)]

pub mod fakes;
pub mod programs;
pub mod system;
