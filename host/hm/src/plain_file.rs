//! Small text files that somebody else may have put there: a repository can hold a link to a
//! device, a pipe that nobody writes to, or gigabytes.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Bytes of a file that people write by hand.
const MOST: u64 = 1 << 20;

/// Reads a file; none if there is none.
///
/// # Errors
/// It cannot be read, is no plain file or no text, or has more than 1 MiB.
pub(crate) fn read(path: &Path) -> io::Result<Option<String>> {
    // Opening a pipe must not wait for its other end.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST {
        return Err(io::Error::other("it has more than 1 MiB"));
    }
    Ok(Some(text))
}
