//! `forebay`: the command with the apps that come with it.

use std::process::ExitCode;

/// Values of a hundred bytes and a few take 112 of it, where the system's would give them 128.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // In the order of their keyspaces' numbers.
    forebay_cli::main(&[
        forebay_app_stocks::app(),
        forebay_app_orders::app(),
        forebay_app_checkin::app(),
        forebay_app_launchpad::app(),
        forebay_app_quant::app(),
    ])
}
