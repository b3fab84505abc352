//! Changes to the user's configuration file: one key, and everything else as it was.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, value};

use crate::failure::{Exit, Failure};

/// Sets a key to a text. Comments and order stay; the file is written whole or not at all.
///
/// # Errors
/// Usage, if the file is no TOML, has something else in the key's place, or cannot be
/// written.
pub(crate) fn set(file: &Path, path: &[&str], text: &str) -> Result<(), Failure> {
    let failed = |what: &str, error: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("cannot {what} the configuration {}", file.display());
        Failure::caused(Exit::Usage, message, io::Error::other(error))
    };
    let old = match std::fs::read_to_string(file) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed("read", error.into())),
    };
    let mut document: DocumentMut = old
        .parse()
        .map_err(|error: toml_edit::TomlError| failed("make sense of", error.into()))?;
    let (key, tables) = path.split_last().unwrap_or((&"", &[]));
    let mut table = document.as_table_mut();
    for name in tables {
        let entry = table
            .entry(name)
            .or_insert_with(|| Item::Table(Table::new()));
        table = entry
            .as_table_mut()
            .ok_or_else(|| failed("change", format!("`{name}` is no table in it").into()))?;
    }
    table[key] = value(text);
    write(file, &document.to_string()).map_err(|error| failed("write", error.into()))
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    // A link into a folder of dotfiles stays one.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let folder = file.parent().unwrap_or(Path::new("/"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    let mode = file
        .metadata()
        .map_or(0o644, |old| old.permissions().mode() & 0o777);
    new.as_file()
        .set_permissions(std::fs::Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_other_keys_stay() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/config.toml");
        set(&file, &["cloud", "org"], "acme").unwrap();
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "[cloud]\norg = \"acme\"\n"
        );
        let text = "# mine\njobs = 3 # few\n\n[cloud] # far\norg = \"old\"\npipeline = \"ci\"\n";
        std::fs::write(&file, text).unwrap();
        set(&file, &["cloud", "org"], "new").unwrap();
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            text.replace("old", "new")
        );
        std::fs::write(&file, "cloud = 1").unwrap();
        assert!(set(&file, &["cloud", "org"], "x").is_err());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "cloud = 1");
    }
}
