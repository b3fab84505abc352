//! What every engine has to do, run against each: the sandbox as this user and as an
//! ordinary one, and docker. An engine that cannot be had here is named.
//!
//! A further engine takes part with a constructor in `lab.rs` and a line below.

mod cases;
#[path = "../common/done.rs"]
mod done;
mod lab;
mod user;

use lab::Lab;

/// Runs every case against every engine, each as a test of its own.
macro_rules! against {
    ($engine:ident: $($subject:ident :: $case:ident),+ $(,)?) => {
        mod $engine {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let test = concat!(stringify!($engine), "::", stringify!($case));
                    if let Some(lab) = super::Lab::$engine(test) {
                        crate::cases::$subject::$case(&lab).await;
                        lab.close().await;
                    }
                }
            )+
        }
    };
}

/// The cases, once.
macro_rules! engines {
    ($($engine:ident),+) => {
        $(against! { $engine:
            commands::ends_are_told_apart,
            commands::channels_are_apart_and_complete,
            commands::environment_and_folder_are_as_asked_for,
            commands::nothing_can_be_read_from_standard_input,
            commands::what_cannot_start_is_an_error_and_the_machine_goes_on,
            commands::what_is_left_running_gets_a_moment_and_no_more,
            commands::commands_overlap,
            commands::a_timeout_asks_first_and_the_machine_goes_on,
            commands::a_dropped_command_ends_with_all_that_it_started,
            commands::a_last_command_may_be_followed_by_others,
            files::a_fork_sees_what_its_parent_wrote_and_its_siblings_do_not_see_it,
            files::todays_source_lies_below_what_steps_wrote,
            files::several_source_layers_are_one_tree,
            files::a_frozen_tree_arrives_as_it_is,
            files::a_chain_of_snapshots_keeps_everything,
            files::what_must_be_fresh_is_fresh,
            files::a_merged_chain_and_a_snapshotted_one_see_the_same,
            files::an_unused_machine_can_be_frozen,
            keeping::a_kept_snapshot_is_found_by_another_engine,
            keeping::what_is_not_kept_goes_with_its_last_handle,
            keeping::what_is_dropped_at_any_moment_leaves_nothing,
            keeping::the_living_are_not_reaped,
            reach::the_network_none_has_loopback_only,
            reach::the_network_host_is_the_hosts,
            reach::processes_are_limited,
            reach::memory_is_limited_and_running_out_is_told,
            reach::an_image_that_cannot_be_had_is_named_with_a_remedy,
            reach::an_image_has_one_identity,
        })+
    };
}

engines!(sandbox, docker);

// What depends on where the source lies.
against! { docker_elsewhere:
    commands::environment_and_folder_are_as_asked_for,
    commands::a_last_command_may_be_followed_by_others,
    files::todays_source_lies_below_what_steps_wrote,
    files::several_source_layers_are_one_tree,
    files::a_frozen_tree_arrives_as_it_is,
    files::a_merged_chain_and_a_snapshotted_one_see_the_same,
    keeping::a_kept_snapshot_is_found_by_another_engine,
    keeping::what_is_dropped_at_any_moment_leaves_nothing,
}
