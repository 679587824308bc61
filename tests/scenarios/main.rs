//! The promises, one module each, over real processes and a real nats-server.

#![cfg(test)]

mod any_interface;
mod bad_input;
mod bad_names;
mod cross_host;
mod declared;
mod drained_host;
mod fault_proxy;
mod greetings;
mod guests_misbehave;
mod honest_states;
mod http_edge;
mod kept_state;
mod local_calls_use_no_nats;
mod logs;
mod lying_host;
mod main_story;
mod messaging;
mod nats_dies;
mod no_nats;
mod old_revisions;
mod one_link;
mod operator_calls;
mod outside;
mod overload;
mod quick_start;
mod refused_artifacts;
mod registry;
mod rig;
mod rolling_restart;
mod secured_nats;
mod served_keyvalue;
mod slow_connections;
mod spinners;
mod table;
mod templates;
mod told;
mod unenrolled_host;
mod up_killed_leaves_nothing;
mod user_leaves;
mod wasi_releases;
