//! The spawner alone: for programs, and tests, that cannot start themselves with
//! `__sandbox`.

fn main() {
    std::process::exit(hm_vm::sandbox::spawner_main());
}
