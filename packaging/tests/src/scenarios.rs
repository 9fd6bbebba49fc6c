//! The tests. Each has a container of its own.

use crate::environment::Environment;

mod addresses;
mod cluster;
mod doctor;
mod engine;
mod installation;
mod load;
mod mistakes;
mod nixos;
mod piuparts;
mod podman;
mod recovery;
mod reload;
mod removal;
mod rpm;
mod upgrade;

/// A test.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) run: fn(&Environment),
}

/// Whether a test can run with others.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Runs beside others.
    Shares,
    /// Needs the machine for itself.
    Measures,
}

/// Names a function after itself.
macro_rules! scenario {
    ($kind:ident $module:ident::$name:ident) => {
        Scenario {
            name: concat!(stringify!($module), "::", stringify!($name)),
            kind: Kind::$kind,
            run: $module::$name,
        }
    };
}

/// Tests of the container image, for the release that has podman.
pub(crate) fn of_containers() -> Vec<Scenario> {
    vec![
        scenario!(Measures podman::sockets_of_systemd_lose_nothing),
        scenario!(Shares podman::trackers_run_without_privileges),
        scenario!(Shares podman::a_stop_loses_no_peer),
        scenario!(Shares podman::compose_runs_all_with_one_swarm),
        scenario!(Shares podman::manifests_of_kubernetes_run),
    ]
}

/// Tests of the packages, for every release.
pub(crate) fn all() -> Vec<Scenario> {
    vec![
        scenario!(Measures installation::an_installed_tracker_serves_within_three_seconds),
        scenario!(Shares installation::all_trackers_run_side_by_side),
        scenario!(Shares installation::the_service_is_confined_as_promised),
        scenario!(Shares installation::units_are_in_order),
        scenario!(Shares installation::the_journal_keeps_fields),
        scenario!(Shares addresses::they_change_where_the_file_says),
        scenario!(Shares addresses::a_boot_serves_where_the_file_says),
        scenario!(Shares addresses::a_faulty_file_binds_nothing_and_is_explained),
        scenario!(Shares addresses::sockets_that_are_not_those_of_the_file_are_explained),
        scenario!(Shares addresses::metrics_are_served),
        scenario!(Shares mistakes::two_trackers_on_one_port_are_refused),
        scenario!(Shares mistakes::a_mistake_elsewhere_keeps_the_sockets),
        scenario!(Shares mistakes::replies_come_from_the_address_that_was_asked),
        scenario!(Shares mistakes::without_ipv6_the_rest_is_served),
        scenario!(Shares mistakes::what_cannot_be_saved_is_served),
        scenario!(Shares mistakes::a_list_that_says_nothing_stops_nobody),
        scenario!(Shares doctor::what_was_not_applied_is_named),
        scenario!(Shares doctor::what_does_not_run_is_named),
        scenario!(Shares doctor::what_the_machine_lacks_is_named),
        scenario!(Shares reload::the_access_list_is_read_again),
        scenario!(Shares reload::certificates_rotate_under_open_connections),
        scenario!(Shares recovery::a_killed_tracker_comes_back),
        scenario!(Shares recovery::stuck_workers_are_noticed_by_the_watchdog),
        scenario!(Shares recovery::a_service_that_fails_for_long_comes_back),
        scenario!(Shares recovery::both_event_loops_run_confined),
        scenario!(Shares cluster::daemons_of_a_host_keep_one_swarm),
        scenario!(Shares cluster::a_daemon_can_be_left_out),
        scenario!(Shares cluster::removing_one_leaves_the_other),
        scenario!(Shares cluster::a_removed_directory_is_there_after_a_restart),
        scenario!(Shares engine::hosts_keep_one_swarm),
        scenario!(Shares engine::access_is_that_of_the_url),
        scenario!(Shares engine::an_engine_of_the_host_is_started_before),
        scenario!(Measures load::an_upgrade_under_load_loses_nothing),
        scenario!(Measures load::restarts_under_load_lose_nothing),
        scenario!(Measures load::restarts_answer_every_request_over_http),
        scenario!(Measures load::an_upgrade_answers_every_request_over_http),
        scenario!(Shares nixos::trackers_run_as_rendered),
        scenario!(Shares nixos::a_switch_ends_and_begins_the_shared_swarm),
        scenario!(Shares nixos::a_cluster_has_an_engine),
        scenario!(Shares nixos::certificates_of_acme_are_taken_and_rotate),
        scenario!(Measures nixos::a_switch_does_as_much_as_it_must),
        scenario!(Shares nixos::sockets_are_opened_again_whatever_else_changes),
        // They take the longest.
        scenario!(Shares piuparts::finds_nothing),
        scenario!(Shares removal::what_remains_is_what_policy_wants),
        scenario!(Shares removal::failed_trackers_leave_nothing_behind),
        scenario!(Shares removal::an_operators_files_survive_every_purge),
        scenario!(Shares removal::a_directory_that_cannot_be_removed_stops_no_purge),
        scenario!(Shares upgrade::a_changed_configuration_is_kept),
        scenario!(Shares upgrade::nobody_is_asked_about_the_first_configuration),
        scenario!(Shares upgrade::what_an_operator_has_stopped_stays_stopped),
        scenario!(Shares upgrade::a_faulty_configuration_stops_no_upgrade),
        scenario!(Shares rpm::packages_are_installed_upgraded_and_removed),
    ]
}
