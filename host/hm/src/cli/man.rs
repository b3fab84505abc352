//! `hm man`: the manual, one page a command, made from the flags themselves.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use crate::failure::{Exit, Failure};

/// Print the manual page, or write all pages into a folder
#[derive(clap::Args)]
#[command(hide = true)]
pub(crate) struct Args {
    /// Folder for one page a command, made if it is not there
    folder: Option<PathBuf>,
}

/// Prints `hm(1)`, or writes it and the pages of all commands.
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut command = super::Cli::command();
    command.build();
    match &args.folder {
        None => std::io::stdout().lock().write_all(&page(command)?)?,
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| refused(folder, error))?;
            write_pages(command, folder)?;
        }
    }
    Ok(Exit::Success)
}

/// Writes the pages of a command and of those below it.
fn write_pages(command: clap::Command, folder: &Path) -> Result<(), Failure> {
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        open.extend(
            command
                .get_subcommands()
                .filter(|below| !below.is_hide_set())
                .cloned(),
        );
        let name = command
            .get_display_name()
            .unwrap_or(command.get_name())
            .replace(' ', "-");
        let path = folder.join(format!("{name}.1"));
        std::fs::write(&path, page(command)?).map_err(|error| refused(&path, error))?;
    }
    Ok(())
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

fn refused(path: &Path, error: std::io::Error) -> Failure {
    Failure::caused(
        Exit::Usage,
        format!("cannot write {}", path.display()),
        error,
    )
}
