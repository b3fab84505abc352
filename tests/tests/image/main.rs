//! Images, from outside: pulled from a real registry, imported from files, hostile ones
//! refused, and what steps find in them.

mod boot;
mod hostile;
mod import;
mod keeping;
mod pull;

use std::path::PathBuf;

use hm_tests::{Finished, Project};

/// Writes an archive beside a project, and returns where it is.
fn archive(project: &Project, name: &str, bytes: &[u8]) -> PathBuf {
    let path = project.path().join(name);
    std::fs::write(&path, bytes).expect("a folder of our own");
    path
}

/// Imports an archive under a name.
#[track_caller]
fn import(project: &Project, bytes: &[u8], name: &str) -> Finished {
    let path = archive(project, "image.tar", bytes);
    let done = project.hm(["image", "import"]).arg(path).arg(name).run();
    std::fs::remove_file(project.path().join("image.tar")).expect("it was just written");
    done
}

/// A pipeline of steps that build in each other, the first in an image.
fn pipeline(image: &str, commands: &[&str]) -> String {
    let mut text = format!("image = \"{image}\"\n");
    for (index, command) in commands.iter().enumerate() {
        text += &format!("[steps.s{index}]\nrun = '''\n{command}\n'''\n");
        if index > 0 {
            text += &format!("from = \"s{}\"\n", index - 1);
        }
    }
    text
}
