//! Builds the components that are embedded, from `plugins/`.

use std::path::Path;

/// Package, its folders besides the SDK and the contract, and the variable that names its
/// file to the crate.
const COMPONENTS: [(&str, &str, &str); 2] = [
    ("hm-plugin-local", "plugins/local", "HM_LOCAL_COMPONENT"),
    ("hm-plugin-cloud", "plugins/cloud", "HM_CLOUD_COMPONENT"),
];

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (package, folder, variable) in COMPONENTS {
        let sources = [folder, "sdk", "wit/v0.1"].map(|folder| root.join(folder));
        let sources = sources.each_ref().map(|source| source.as_path());
        match hm_guest_toolchain::build_script::component(package, &sources) {
            Ok(component) => println!("cargo::rustc-env={variable}={}", component.display()),
            Err(error) => {
                // One `cargo::error` a line: cargo shows them as errors of this package.
                for line in format!("{package} could not be built: {error}").lines() {
                    println!("cargo::error={line}");
                }
            }
        }
    }
}
