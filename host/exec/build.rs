//! Builds the component that is embedded, from `plugins/local`.

use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sources = ["plugins/local", "sdk", "wit/v0.1"].map(|folder| root.join(folder));
    match hm_guest_toolchain::build_script::component(
        "hm-plugin-local",
        &sources.each_ref().map(|p| p.as_path()),
    ) {
        Ok(component) => println!(
            "cargo::rustc-env=HM_LOCAL_COMPONENT={}",
            component.display()
        ),
        Err(error) => {
            // One `cargo::error` a line: cargo shows them as errors of this package.
            for line in format!("the local backend could not be built: {error}").lines() {
                println!("cargo::error={line}");
            }
        }
    }
}
